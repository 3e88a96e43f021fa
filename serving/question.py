"""Questions of our own to the graph, for places beside /graphql that take the same token and leave the same entries."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from uuid import uuid4

import structlog
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from resolvers.documents import Document, Documents, Limits
from resolvers.house import House
from resolvers.operation import Graph
from resolvers.operation_types import Asked, Reply
from serving.endpoint import Refused, error, single

NO_STORE: Final = {"Cache-Control": "no-store"}
STATUS: Final = {"BAD_INPUT": 400, "LOG_UNAVAILABLE": 503, "OVERLOADED": 503, "INTERNAL": 500}
"""What a question that executed and has errors is answered with; every other one is 403."""


class Question:
    """One document. `origin` is how the outside names this server; without it the request's Host is believed."""

    def __init__(self, schema: GraphQLSchema, house: House, text: str, origin: str | None) -> None:
        # The question is ours: whether clients may ask only trusted documents does not concern it.
        documents = Documents(schema, Limits())
        document = documents.take(text)
        if not isinstance(document, Document):
            raise TypeError(f"the graph does not take the question: {document}")
        self._document = document
        self._graph = Graph(schema, documents, house)
        self._origin = origin

    async def answer(self, request: Request, variables: Mapping[str, Any], *, exports: bool = False) -> Reply:
        """The answer to whoever's token the request has. Raise Refused when there is none without errors."""
        origin = self._origin or f"{request.url.scheme}://{request.url.netloc}"
        reply = await self._graph.answer(
            Asked(
                document=self._document,
                operation_name=None,
                variables=dict(variables),
                authorization=single(request.headers, "authorization"),
                dpop=single(request.headers, "dpop"),
                method=request.method,
                url=f"{origin}{request.url.path}",
                source_address=request.client.host if request.client else None,
                request_id=str(uuid4()),
                trace_id=None,
                exports=exports,
            )
        )
        if reply.status != 200 or reply.errors:
            code = reply.errors[0]["extensions"]["code"]
            refused = Refused(reply.status if reply.status != 200 else STATUS.get(code, 403), "")
            refused.errors = [dict(each) for each in reply.errors]
            refused.headers = logged(reply) | dict(reply.headers)
            raise refused
        return reply


def logged(reply: Reply) -> dict[str, str]:
    """The header that names the entries a question left."""
    return {"Access-Log": ",".join(reply.entry_ids)} if reply.entry_ids else {}


def guarded(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler, with refusals and bugs answered as /graphql answers them."""

    async def answered(request: Request) -> Response:
        try:
            return await handle(request)
        except Refused as refused:
            return JSONResponse({"errors": refused.errors}, refused.status, headers=NO_STORE | refused.headers)
        except Exception as raised:
            incident = uuid4().hex
            structlog.get_logger().error("incident", incident=incident, error=raised)
            message = "Something broke on our side. Name the incident when you report it."
            return JSONResponse({"errors": [error(message, code="INTERNAL", incident=incident)]}, 500, headers=NO_STORE)

    return answered
