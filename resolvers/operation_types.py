"""The seam between serving and the engine: what is asked, what is replied, and who replies.

Serving knows HTTP and documents; the engine (operation.py) knows viewers, cases, agencies and the access log.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from resolvers.documents import Document, Documents


class FastPath(StrEnum):
    """Which of the compiled ways are taken; all of them answer what graphql-core answers."""

    ON = "on"
    SELECTIONS = "selections"
    """Selections are projected, and graphql-core executes the operation."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request whose document is good. Transport facts only; nobody has been authenticated yet.

    `url` is scheme, host and path, as a DPoP proof names it (RFC 9449, `htu`).
    """

    document: Document
    operation_name: str | None
    variables: dict[str, Any]
    authorization: str | None
    dpop: str | None
    method: str
    url: str
    source_address: str | None
    request_id: str
    trace_id: str | None
    by_id: bool = False
    """Asked by the id of a trusted document."""
    exports: bool = False
    """A question of our own, whose answer leaves as a file: the log calls it an export, and its pages are longer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back. `has_data` tells `data: null` from no data at all (a request error).

    `data` may be an `orjson.Fragment` where the bytes exist already. A `status` other than 200 (401 with
    WWW-Authenticate, 429 with Retry-After, 503) is sent as it is, for every media type.
    """

    data: Mapping[str, Any] | None
    has_data: bool
    errors: Sequence[Mapping[str, Any]] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)
    entry_ids: Sequence[str] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """Answers. It finishes its log write even when nobody waits for the answer any more."""

    @property
    def documents(self) -> Documents: ...

    async def answer(self, asked: Asked) -> Reply: ...

    async def subscribe(self, asked: Asked) -> Reply | AsyncIterator[Reply]:
        """A stream of events, or the one Reply that says why there is none (as graphql-core's subscribe does)."""
        ...
