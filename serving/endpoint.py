"""GraphQL over HTTP: one request in, one response or one stream of events out.

Sources: GraphQL over HTTP (working draft), RFC 9110 (negotiation, 405, 406, 413, 415), GraphQL over Server-Sent
Events in distinct connections mode. Where the draft leaves a choice, contract/blackbox.md decides; docs/http.md has
the table. Plain ASGI, because a framework's request and response cost as much as the rest of this file.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import lru_cache
from json import JSONDecoder, dumps
from math import isfinite
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from resolvers.documents import Document, Limits, Rejection
from resolvers.operation_types import Asked, Engine, Reply
from resolvers.redaction import without_numbers
from serving.drain import Drain
from serving.metrics import Metrics

GRAPHQL: Final = "application/graphql-response+json"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
DOCUMENT_ID: Final = re.compile(r"sha256:[0-9a-f]{64}")
TRACE_PARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
RETRY: Final = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "none"


@dataclass(frozen=True, slots=True)
class Stream:
    """Replies to be sent as events, after a first one or none."""

    replies: AsyncIterator[Reply]
    kind: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request ends here, with this status and one GraphQL error."""

    def __init__(self, status: int, message: str, *, code: str = "BAD_INPUT", **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = more.pop("headers", {})
        self.errors = [error(message, code=code, **more)]


class Invalid(Exception):
    """The request is one, but its document or its operation is not (a request error before execution)."""

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.errors = errors


class Disconnected(Exception):
    """Nobody is there to answer any more."""


@dataclass(frozen=True, slots=True)
class Body:
    """A GraphQL-over-HTTP request as it was sent, every member of the right type."""

    query: str | None
    document_id: str | None
    operation_name: str | None
    variables: dict[str, Any]


class Endpoint:
    """The ASGI application at /graphql. `page` is what a browser gets (GraphiQL), None in production.

    `origin` is how the outside names this server, for DPoP proofs; without it the request's own Host is believed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        limits: Limits,
        metrics: Metrics,
        drain: Drain,
        origin: str | None = None,
        page: Response | None = None,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._metrics = metrics
        self._drain = drain
        self._origin = origin
        self._page = page
        self._answering: set[asyncio.Task[Reply | AsyncIterator[Reply]]] = set()
        self._streams = 0
        metrics.in_flight.set_function(lambda: len(self._answering))
        metrics.streams.set_function(lambda: self._streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = caller_uuid(headers.get("x-request-id")) or str(uuid4())
        accepted = negotiated(", ".join(headers.getlist("accept")))
        media_type = accepted if accepted in {GRAPHQL, JSON} else JSON
        try:
            response = await self._response(scope, headers, receive, accepted, request_id)
        except Invalid as invalid:
            # A client of plain JSON takes 200 for "this is GraphQL", one of events an event.
            reply = Reply(None, has_data=False, errors=invalid.errors)
            response = Stream(_one(reply), "none") if accepted == EVENTS else replied(reply, media_type, "none")
        except Refused as refused:
            response = Response(refused.status, orjson.dumps({"errors": refused.errors}), media_type, refused.headers)
        except Disconnected:
            return
        except Exception as raised:
            body = orjson.dumps({"errors": self._incident(raised, request_id)})
            response = Response(500, body, media_type)
        status = 200
        if isinstance(response, Stream):
            await self._send_stream(response, receive, send, request_id)
        else:
            status = response.status
            await _send(response, send, request_id, with_body=scope["method"] != "HEAD")
        seconds = time.perf_counter() - started
        self._metrics.answered(response.kind, status, seconds)
        structlog.get_logger().info(
            "request", request_id=request_id, kind=response.kind, status=status, ms=round(seconds * 1000, 1)
        )

    async def _response(
        self, scope: Scope, headers: Headers, receive: Receive, accepted: str | None, request_id: str
    ) -> Response | Stream:
        if scope["method"] in {"GET", "HEAD"}:
            return self._browser_page(scope, headers)
        if scope["method"] != "POST":
            raise Refused(405, "GraphQL questions are sent by POST.", headers=self._allow)
        if accepted is None:
            raise Refused(406, f"Accept at least one of {GRAPHQL}, {JSON}, {EVENTS}.")
        check_content(headers)
        body = read(await self._bytes(headers, receive))
        document = await self._document(body)
        kind = operation_kind(document, body.operation_name)
        if kind == "subscription" and accepted != EVENTS:
            raise Invalid([error(f"A subscription is a stream. Send `Accept: {EVENTS}`.")])
        reply = await self._reply(kind, self._asked(scope, headers, document, body, request_id))
        if not isinstance(reply, Reply):
            return Stream(reply, kind)
        if accepted != EVENTS:
            return replied(reply, accepted, kind)
        return Stream(_one(reply), kind, sent_headers(reply)) if reply.status == 200 else replied(reply, JSON, kind)

    def _asked(self, scope: Scope, headers: Headers, document: Document, body: Body, request_id: str) -> Asked:
        origin = self._origin or f"{scope['scheme']}://{headers.get('host', '')}"
        return Asked(
            document=document,
            operation_name=body.operation_name,
            variables=body.variables,
            authorization=single(headers, "authorization"),
            dpop=single(headers, "dpop"),
            method=scope["method"],
            url=f"{origin}{scope['path']}",
            source_address=scope["client"][0] if scope.get("client") else None,
            request_id=request_id,
            trace_id=match[1] if (match := TRACE_PARENT.fullmatch(headers.get("traceparent", ""))) else None,
            by_id=body.query is None,
        )

    @property
    def _allow(self) -> dict[str, str]:
        return {"Allow": "POST" if self._page is None else "GET, HEAD, POST"}

    def _browser_page(self, scope: Scope, headers: Headers) -> Response:
        """GraphiQL, for whoever takes a page. A question in the URL is never answered: URLs are kept everywhere."""
        if self._page is None:
            raise Refused(404, "Nothing here. GraphQL questions are sent by POST.")
        accept = headers.get("accept", "*/*")
        if "text/html" in accept or ("*/*" in accept and not scope["query_string"]):
            return self._page
        raise Refused(405, "Ask by POST; GET is for browsers.", headers={"Allow": "POST"})

    async def _bytes(self, headers: Headers, receive: Receive) -> bytes:
        """The body, counted as it comes: Content-Length is only a promise."""
        allowed = self._limits.body_bytes
        too_large = Refused(413, f"The body may have {allowed} bytes. Ask for less, or in several requests.")
        promised = headers.get("content-length", "")
        if promised.isdecimal() and (len(promised) > 9 or int(promised) > allowed):
            raise too_large
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Disconnected
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > allowed:
                        raise too_large
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise Refused(408, f"The body did not come within {self._limits.body_seconds} s.") from None

    async def _document(self, body: Body) -> Document:
        taken = await self._engine.documents.found(body.query, body.document_id)
        if isinstance(taken, Rejection):
            raise Invalid(
                [{**e.formatted, "extensions": {**(e.extensions or {}), "code": taken.code}} for e in taken.errors]
            )
        return taken

    async def _reply(self, kind: str, asked: Asked) -> Reply | AsyncIterator[Reply]:
        """The engine's reply. Its work is not ours to cancel: what an agency was asked has to be written down."""
        full = len(self._answering) >= self._limits.in_flight
        if self._drain.begun:
            raise Refused(503, "This process is ending. Try again.", code="DRAINING", headers=RETRY)
        if full or (kind == "subscription" and self._streams >= self._limits.streams):
            raise Refused(503, "Too many questions at once. Try again.", code="OVERLOADED", headers=RETRY)
        task = asyncio.create_task(self._reply_or_incident(kind, asked))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return await asyncio.shield(task)

    async def _reply_or_incident(self, kind: str, asked: Asked) -> Reply | AsyncIterator[Reply]:
        try:
            return await (self._engine.subscribe(asked) if kind == "subscription" else self._engine.answer(asked))
        except Exception as raised:
            return self._broken(raised, asked.request_id)

    def _broken(self, raised: Exception, request_id: str) -> Reply:
        return Reply(None, has_data=False, errors=self._incident(raised, request_id), status=500)

    def _incident(self, raised: Exception, request_id: str) -> list[dict[str, Any]]:
        incident = uuid4().hex
        self._metrics.incidents.inc()
        structlog.get_logger().error("incident", incident=incident, request_id=request_id, error=raised)
        message = "Something broke on our side. Name the incident when you report it."
        return [error(message, code="INTERNAL", incident=incident)]

    async def _send_stream(self, stream: Stream, receive: Receive, send: Send, request_id: str) -> None:
        start = {**stream.headers, "x-accel-buffering": "no"}
        await send(_start(200, EVENTS, start, request_id))
        self._streams += 1
        gone = asyncio.create_task(_disconnect(receive))
        ended = asyncio.create_task(self._drain.wait())
        try:
            async with aclosing(self._events(stream.replies, gone, ended, request_id)) as events:
                async for event in events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            self._streams -= 1
            gone.cancel()
            ended.cancel()
        if not gone.done() or gone.cancelled():
            await send({"type": "http.response.body", "body": b"event: complete\ndata:\n\n"})

    async def _events(
        self, replies: AsyncIterator[Reply], gone: asyncio.Task[None], ended: asyncio.Task[None], request_id: str
    ) -> AsyncGenerator[bytes, None]:
        """`next` events and, while there are none, comments that keep the connection open."""
        upcoming: asyncio.Task[Reply | None] = asyncio.create_task(_next(replies))
        try:
            while True:
                await asyncio.wait(
                    {upcoming, gone, ended},
                    timeout=self._limits.keep_alive_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if gone.done():
                    return
                if upcoming.done():
                    try:
                        reply = upcoming.result()
                    except Exception as raised:
                        reply = self._broken(raised, request_id)
                    if reply is None:
                        return
                    yield b"event: next\ndata: " + encoded(reply) + b"\n\n"
                    if reply.status != 200:
                        return
                    upcoming = asyncio.create_task(_next(replies))
                elif ended.done():
                    return
                else:
                    yield b":\n\n"
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
            if isinstance(replies, AsyncGenerator):
                await replies.aclose()


def negotiated(accept: str) -> str | None:
    """The media type to answer in: of what we have, what the client likes best (RFC 9110 section 12.5.1).

    Named types are preferred in the order GraphQL, JSON, events. For `*/*` it is plain JSON, as it is for a client
    that says nothing.
    """
    return _negotiated(accept) if len(accept) < 1000 else JSON


@lru_cache(maxsize=256)
def _negotiated(accept: str) -> str | None:
    if not accept.strip():
        return JSON
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            quality = float(weight)
        except ValueError:
            quality = 0.0
        ranges[name] = quality if isfinite(quality) else 0.0
    liked = []
    for named, wild, media_type in ((3, 1, GRAPHQL), (2, 2, JSON), (1, 0, EVENTS)):
        for specificity, range_ in ((2, media_type), (1, media_type.split("/")[0] + "/*"), (0, "*/*")):
            if range_ in ranges:
                if ranges[range_] > 0:
                    liked.append((ranges[range_], specificity, named if specificity == 2 else wild, media_type))
                break
    return max(liked)[3] if liked else None


def check_content(headers: Headers) -> None:
    """JSON in UTF-8, not compressed, or 415. That it is not a form keeps other sites' pages from asking (CSRF)."""
    media_type, *parameters = (piece.strip().lower() for piece in headers.get("content-type", "").split(";"))
    charsets = [p.removeprefix("charset=").strip('"') for p in parameters if p.startswith("charset=")]
    if media_type != JSON or any(charset not in {"utf-8", "utf8"} for charset in charsets):
        raise Refused(415, f"Send `Content-Type: {JSON}` in UTF-8.", headers={"Accept": JSON})
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "Send the body uncompressed.", headers={"Accept-Encoding": "identity"})


def read(raw: bytes) -> Body:
    """The request in a body, or 400 naming the member that is wrong. Unknown members are left to later drafts."""
    try:
        text = raw.decode()
        sent = _decoder.decode(text)
        if "\\u" in text:  # an escape may spell half a character, which nothing after this could encode again
            dumps(sent, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused(400, "The body is no JSON, or has a member twice or a number out of range.") from None
    if isinstance(sent, list):
        raise Refused(400, "Batches are not answered. Send one question per request.")
    if not isinstance(sent, dict):
        raise Refused(400, 'The body is no object. Send {"query": "…"}.')
    query, document_id = member(sent, "query", str, "a string"), member(sent, "documentId", str, "a string")
    if (query is None) == (document_id is None):
        raise Refused(400, "Send either `query` (a string) or `documentId`.", field="query")
    if document_id is not None and DOCUMENT_ID.fullmatch(document_id) is None:
        raise Refused(400, "`documentId` is `sha256:` and 64 hexadecimal digits.", field="documentId")
    member(sent, "extensions", dict, "an object")
    return Body(
        query,
        document_id,
        member(sent, "operationName", str, "a string"),
        member(sent, "variables", dict, "an object") or {},
    )


def member(sent: Mapping[str, Any], name: str, type_: type, wanted: str) -> Any:
    value = sent.get(name)
    if value is not None and not isinstance(value, type_):
        raise Refused(400, f"`{name}` is no {wanted.split()[1]}. Send {wanted}, or leave it out.", field=name)
    return value


def single(headers: Headers, name: str) -> str | None:
    """One header. Two of them could mean different things to us and to whatever stands in front of us."""
    values = headers.getlist(name)
    if len(values) > 1:
        raise Refused(400, f"Send one `{name}` header.", field=name)
    return values[0] if values else None


def caller_uuid(sent: str | None) -> str | None:
    try:
        return str(UUID(sent)) if sent is not None and len(sent) == 36 else None
    except ValueError:
        return None


def operation_kind(document: Document, name: str | None) -> str:
    """query, mutation or subscription (GraphQL section 6.1, GetOperation)."""
    operation = document.operation(name)
    if operation is None:
        said = "No operation has this name" if name else "The document has several operations"
        raise Invalid([error(f"{said}. Name one of them in `operationName`.", field="operationName")])
    return operation.operation.value


def error(message: str, *, code: str = "BAD_INPUT", **more: Any) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code, **more}}


def replied(reply: Reply, media_type: str, kind: str) -> Response:
    """A reply without data is a request error: 400, or 200 where the client knows plain JSON only."""
    status = 400 if reply.status == 200 and not reply.has_data and media_type == GRAPHQL else reply.status
    return Response(status, encoded(reply), media_type, sent_headers(reply), kind)


def sent_headers(reply: Reply) -> dict[str, str]:
    return {**reply.headers, **({"Access-Log": ",".join(reply.entry_ids)} if reply.entry_ids else {})}


def encoded(reply: Reply) -> bytes:
    body: dict[str, Any] = {}
    if reply.errors:  # portals keep messages, so they quote no registration number, not even to who sent it
        body["errors"] = [{**each, "message": without_numbers(each["message"])} for each in reply.errors]
    if reply.has_data:
        body["data"] = reply.data
    if reply.extensions:
        body["extensions"] = reply.extensions
    return orjson.dumps(body)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError
    return number


_decoder = JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)


async def _one(reply: Reply) -> AsyncIterator[Reply]:
    yield reply


async def _next(replies: AsyncIterator[Reply]) -> Reply | None:
    return await anext(replies, None)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _start(status: int, media_type: str, headers: Mapping[str, str], request_id: str) -> dict[str, Any]:
    sent = {
        "content-type": f"{media_type}; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": request_id,
        **headers,
    }
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _send(response: Response, send: Send, request_id: str, *, with_body: bool) -> None:
    headers = {**response.headers, "content-length": str(len(response.body))}
    await send(_start(response.status, response.media_type, headers, request_id))
    await send({"type": "http.response.body", "body": response.body if with_body else b""})
