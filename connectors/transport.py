"""Guarded HTTP to one agency: what goes over the wire, how long, how much, and nothing that the agency could abuse.

No redirects and no decompression (aiohttp does both by default), no proxy from the environment, no cookies; bodies are
counted while they stream. The headers are those of docs/wire/README.md.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiohttp.tracing import Trace
from yarl import URL

from schema.disclosure import Agency

BODY_LIMIT = 1024 * 1024
HEADER_LIMIT = 8 * 1024
LONGEST_RETRY_AFTER_S = 24 * 60 * 60
_PLAIN: Final = re.compile(r"/(?!/)[A-Za-z0-9_/-]*")
"""A path that stands in a URL as it is."""


class AgencyError(Exception):
    """An agency did not answer as hoped. The code becomes the answer's problem; no other text, so nothing personal."""

    def __init__(self, code: str) -> None:
        """Keep the code, which is also the whole text."""
        super().__init__(code)
        self.code = code


class Unavailable(AgencyError):
    """No answer came: refused connection, time-out, 5xx, or something that is not the agency speaking."""

    def __init__(self, code: str, retry_after_s: int | None = None) -> None:
        """Keep the code and, when the agency said so, after how many seconds it is worth asking again."""
        super().__init__(code)
        self.retry_after_s = retry_after_s


class Refused(AgencyError):
    """The agency heard the question and will not answer it to us."""


class Unreadable(AgencyError):
    """An answer came that cannot be believed."""


class WireReply(msgspec.Struct, frozen=True):
    """What came over the wire, whole and unopened; headers are looked up by their names in lower case."""

    status: int
    content_type: str
    """The media type alone, in lower case, without parameters; empty when none was sent."""
    request_id: str
    """The `X-Request-Id` that was sent, to be found again as an echo in the body."""
    headers: Mapping[str, str]
    body: bytes

    __repr__ = object.__repr__  # what an agency said is in no text about it

    @property
    def retry_after_s(self) -> int | None:
        """Seconds of `Retry-After` when it was said as a plain and sane number."""
        said = self.headers.get("retry-after", "")
        if not (said.isascii() and said.isdigit() and len(said) <= 9):
            return None
        return min(int(said), LONGEST_RETRY_AFTER_S)


class _Connections(aiohttp.TCPConnector):
    """Kept connections, of which none is used again on which something came that nobody had asked for.

    aiohttp only looks whether a connection is still open (its issue 13656): a surplus response would be taken for the
    answer to the next question. One that comes after that question was sent is left to the echo and the identity.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its name in aiohttp
    ) -> aiohttp.connector.Connection:
        """Give a connection that is silent: each kept one may turn out not to be."""
        for _ in range(self.limit + 1):
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("It speaks without being asked.")


@dataclass(slots=True)
class _Pool:
    """One generation of connections; closed by its last request once it is retired."""

    session: aiohttp.ClientSession
    in_flight: int = 0
    retired: bool = False


class Transport:
    """All connections to one agency.

    `timeout_s` bounds a request from the first dial to the last byte, and is an agency's budget for one question
    (`deadline`); `dial_timeout_s` bounds the connection to each address. The certificate files switch to mutual TLS.
    `agency` is None for what is no agency of the graph.
    """

    def __init__(
        self,
        agency: Agency | None,
        base_url: str,
        *,
        timeout_s: float = 2.5,
        dial_timeout_s: float = 1.0,
        ca_file: Path | None = None,
        client_cert_file: Path | None = None,
        client_key_file: Path | None = None,
        client_id: str = "onestop",
        connections: int = 64,
    ) -> None:
        """Read the certificate files; connect to nobody yet."""
        self.agency = agency
        self.timeout_s = timeout_s
        self._base = URL(base_url.rstrip("/"))
        self._dial_timeout_s = dial_timeout_s
        self._client_id = client_id
        self._connections = connections
        self._tls: ssl.SSLContext | None = None
        if self._base.scheme == "https":
            self._tls = ssl.create_default_context(cafile=ca_file)
            if client_cert_file is not None:
                self._tls.load_cert_chain(client_cert_file, client_key_file)
        self._pool: _Pool | None = None

    def deadline(self) -> float:
        """Until when a question asked now may take, in the event loop's time."""
        return asyncio.get_running_loop().time() + self.timeout_s

    async def request(
        self,
        method: str,
        path: str,
        *,
        purpose: str,
        case: str | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        request_id: str | None = None,
        deadline: float | None = None,
    ) -> WireReply:
        """Ask once and give back whatever was said, whatever its status.

        `path` is relative to the agency's base URL, or an absolute link that the agency gave (only to itself). A GET
        whose connection closes before any byte came is sent once more by aiohttp (RFC 9110 §9.2.2), nothing else is.
        Raises `Unavailable` and `Unreadable`; a status is not judged here (`guard.facts`).
        """
        url = self._url(path)
        own = request_id or random_uuid()
        sent = {"X-Purpose": purpose, "X-Request-Id": own}
        if case is not None:
            sent["X-Case"] = case
        if headers is not None:
            sent |= headers
        latest = self.deadline() if deadline is None else min(deadline, self.deadline())
        pool = self._pool
        if pool is None:
            pool = self._pool = _Pool(self._session())
        pool.in_flight += 1
        try:
            async with (
                asyncio.timeout_at(latest),
                pool.session.request(
                    method, url, params=params, headers=sent, data=body, allow_redirects=False
                ) as response,
            ):
                return WireReply(
                    status=response.status,
                    content_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                    request_id=own,
                    headers=response.headers,
                    body=await _body(response),
                )
        except TimeoutError as error:
            raise Unavailable("TIMEOUT") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable("CONNECTION_FAILED") from error
        finally:
            pool.in_flight -= 1
            if pool.retired and pool.in_flight == 0:
                await pool.session.close()

    async def drop_pool(self) -> None:
        """Never use the present connections again.

        One of them gave an answer to a question that was not asked, so none is believed to be in step. Requests on
        their way finish (each is checked by itself) and the last one closes them.
        """
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.retired = True
            if pool.in_flight == 0:
                await pool.session.close()

    async def close(self) -> None:
        """Close every connection, for the end of the program."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.session.close()

    def _url(self, path: str) -> URL:
        if _PLAIN.fullmatch(path):  # an identifier is new each time: parsing a URL would find nothing in a cache
            return self._base.with_path(self._base.raw_path.rstrip("/") + path, encoded=True)
        if path.startswith("/") and not path.startswith("//"):
            return URL(str(self._base) + path)
        try:
            link = URL(path)
            same = link.absolute and link.origin() == self._base.origin() and link.user is None
        except ValueError as error:
            raise Unreadable("FOREIGN_LINK") from error
        if not same:
            raise Unreadable("FOREIGN_LINK")
        return link

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Connections(limit=self._connections, ssl=True if self._tls is None else self._tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._dial_timeout_s),
            headers={"X-Client-Id": self._client_id, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )


def random_uuid() -> str:
    """A version 4 UUID (RFC 9562 §5.4), spelled without an object of it, which takes four times as long."""
    drawn = os.urandom(16)
    digits = drawn.hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[drawn[8] >> 6]}{digits[17:20]}-{digits[20:]}"


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read what came, at most `BODY_LIMIT` bytes of it and never unpacked."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        response.close()
        raise Unreadable("ENCODED")
    chunks: list[bytes] = []
    size, content = 0, response.content
    while not content.at_eof():
        chunk = await content.readany()
        size += len(chunk)
        if size > BODY_LIMIT:
            response.close()
            raise Unreadable("TOO_LARGE")
        chunks.append(chunk)
    return b"".join(chunks)
