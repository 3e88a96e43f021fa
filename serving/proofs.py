"""Proof files for the persons whose data was seen: GET /log/proof/{entry id}, with the token that /graphql takes.

Whether the viewer may see the entry is asked of the graph, which also writes down that it was asked.
"""

import asyncio
from typing import Final
from uuid import uuid4

import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from audit.entry import leaf_hash
from audit.proof import proof
from audit.tiles import Published
from audit.writer import receipt
from resolvers.documents import Document, Documents, Limits
from resolvers.house import House
from resolvers.operation import Graph
from resolvers.operation_types import Asked
from serving.endpoint import Refused, error, single

QUESTION: Final = "query LogProof($id: ID!) { accessEntry(id: $id) { id case } }"
NO_STORE: Final = {"Cache-Control": "no-store"}


class Proofs:
    """`origin` is how the outside names this server; without it the request's Host is believed."""

    def __init__(
        self, schema: GraphQLSchema, house: House, published: Published, key: Ed25519PrivateKey, origin: str | None
    ) -> None:
        # The question is ours: whether clients may ask only trusted documents does not concern it.
        documents = Documents(schema, Limits())
        document = documents.take(QUESTION)
        if not isinstance(document, Document):
            raise TypeError("the graph has no accessEntry with id and case")
        self._document = document
        self._graph = Graph(schema, documents, house)
        self._house = house
        self._published = published
        self._key = key
        self._origin = origin

    def routes(self) -> list[Route]:
        return [Route("/log/proof/{entry_id}", self._proof)]

    async def _proof(self, request: Request) -> Response:
        try:
            return await self._answered(request, request.path_params["entry_id"])
        except Refused as refused:
            return JSONResponse({"errors": refused.errors}, refused.status, headers=NO_STORE | refused.headers)
        except Exception as raised:
            incident = uuid4().hex
            structlog.get_logger().error("incident", incident=incident, error=raised)
            message = "Something broke on our side. Name the incident when you report it."
            errors = [error(message, code="INTERNAL", incident=incident)]
            return JSONResponse({"errors": errors}, 500, headers=NO_STORE)

    async def _answered(self, request: Request, entry_id: str) -> Response:
        reply = await self._graph.answer(self._asked(request, entry_id))
        logged = {"Access-Log": ",".join(reply.entry_ids)} if reply.entry_ids else {}
        if reply.status != 200 or reply.errors:
            status = reply.status if reply.status != 200 else 403
            headers = {**NO_STORE, **logged, **reply.headers}
            return JSONResponse({"errors": list(reply.errors)}, status, headers=headers)
        seen = orjson.loads(orjson.dumps(reply.data))["accessEntry"]
        placed = None if seen is None else await self._house.log.reading.entry(entry_id)
        if placed is None:
            return _refused("NOT_ACCESSIBLE", "There is no such entry that you may see.", 404, logged)
        if placed.entry.access.case_id is not None and seen["case"] is None:
            why = "The entry was made in another person's case, and its proof would tell of that case."
            return _refused("NOT_ACCESSIBLE", why, 403, logged)
        leaves = [(placed.leaf_index, leaf_hash(placed.entry.leaf))]
        (covered,) = await asyncio.to_thread(self._published.covered, leaves)
        if covered is None:
            why = "No checkpoint covers the entry yet. Ask again in a few seconds."
            return _refused("LOG_UNAVAILABLE", why, 503, logged | {"Retry-After": "5"})
        file = proof(placed.entry, covered, receipt(placed.entry, placed.leaf_index, self._key), self._published.key)
        named = {"Content-Disposition": f'attachment; filename="access-log-proof-{placed.entry.id}.json"'}
        return Response(file, headers=NO_STORE | logged | named, media_type="application/json")

    def _asked(self, request: Request, entry_id: str) -> Asked:
        origin = self._origin or f"{request.url.scheme}://{request.url.netloc}"
        return Asked(
            document=self._document,
            operation_name=None,
            variables={"id": entry_id},
            authorization=single(request.headers, "authorization"),
            dpop=single(request.headers, "dpop"),
            method=request.method,
            url=f"{origin}{request.url.path}",
            source_address=request.client.host if request.client else None,
            request_id=str(uuid4()),
            trace_id=None,
        )


def _refused(code: str, message: str, status: int, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse({"errors": [error(message, code=code)]}, status, headers=NO_STORE | headers)
