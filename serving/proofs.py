"""Proof files for the persons whose data was seen: GET /log/proof/{entry id}, with the token that /graphql takes.

Whether the viewer may see the entry is asked of the graph, which also writes down that it was asked.
"""

import asyncio
from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from audit.entry import leaf_hash
from audit.proof import proof
from audit.tiles import Published
from audit.writer import receipt
from resolvers.house import House
from serving.endpoint import Refused
from serving.question import NO_STORE, Question, guarded, logged

QUESTION: Final = "query LogProof($id: ID!) { accessEntry(id: $id) { id reduced } }"


class Proofs:
    """Proofs of single entries."""

    def __init__(
        self, schema: GraphQLSchema, house: House, published: Published, key: Ed25519PrivateKey, origin: str | None
    ) -> None:
        self._question = Question(schema, house, QUESTION, origin)
        self._house = house
        self._published = published
        self._key = key

    def routes(self) -> list[Route]:
        return [Route("/log/proof/{entry_id}", guarded(self._proof))]

    async def _proof(self, request: Request) -> Response:
        entry_id = request.path_params["entry_id"]
        reply = await self._question.answer(request, {"id": entry_id})
        noted = logged(reply)
        seen = orjson.loads(orjson.dumps(reply.data))["accessEntry"]
        placed = None if seen is None else await self._house.log.reading.entry(entry_id)
        if placed is None:
            raise Refused(404, "There is no such entry that you may see.", code="NOT_ACCESSIBLE", headers=noted)
        if seen["reduced"]:
            why = "The entry was made in another person's case, and its proof would tell of that case."
            raise Refused(403, why, code="NOT_ACCESSIBLE", headers=noted)
        leaves = [(placed.leaf_index, leaf_hash(placed.entry.leaf))]
        (covered,) = await asyncio.to_thread(self._published.covered, leaves)
        if covered is None:
            why = "No checkpoint covers the entry yet. Ask again in a few seconds."
            raise Refused(503, why, code="LOG_UNAVAILABLE", headers=noted | {"Retry-After": "5"})
        file = proof(placed.entry, covered, receipt(placed.entry, placed.leaf_index, self._key), self._published.key)
        named = {"Content-Disposition": f'attachment; filename="access-log-proof-{placed.entry.id}.json"'}
        return Response(file, headers=NO_STORE | noted | named, media_type="application/json")
