"""The one shape that every agency fits.

A connector is asked about several persons of one agency and answers in the order asked. What it may read is decided
before: it is handed the allowed coordinates and asks the agency for nothing else. How it went is a value
(`schema.answer.Answer`), never an exception: one agency's fault stays that agency's.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Generic, TypeVar

import msgspec

from schema.answer import Answer
from schema.disclosure import Agency
from schema.identifiers import SectorId

Section = TypeVar("Section")


class Speed(Enum):
    """How soon an agency usually answers: at the desk, within 7 days, within 20 days (domain research §1.2)."""

    INSTANT = "INSTANT"
    DAYS = "DAYS"
    WEEKS = "WEEKS"


class Ticket(msgspec.Struct, frozen=True):
    """What an agency that answers later gave us to come back with."""

    reference: str
    expected_by: date


class Asked(msgspec.Struct, frozen=True):
    """One question about one person, already decided.

    `coordinates` are the fields (``Type.field``) that may be read; `masked` those among them whose value keeps its
    first syllable only. `seal` makes an opaque id from a kind and the agency's reference. `case` is an opaque
    reference that the agency sees. `idempotency` names the inquiry: the same text never opens a second one. `now` is
    the instant of asking (aware UTC).
    """

    person: SectorId
    purpose: str
    coordinates: frozenset[str]
    now: datetime
    seal: Callable[[str, str], str]
    masked: frozenset[str] = frozenset()
    household: tuple[SectorId, ...] = ()
    """Further persons whose holdings count into the same section (the parents' homes of a newborn)."""
    case: str | None = None
    idempotency: str = ""
    ticket: Ticket | None = None
    callback_url: str | None = None

    def may_read(self, *coordinates: str) -> bool:
        """Tell whether any of the coordinates is allowed."""
        return not self.coordinates.isdisjoint(coordinates)


class Answered(msgspec.Struct, Generic[Section], frozen=True):
    """What came back about one person: the section (its lists null where not known) and how it went.

    `ticket` is to be remembered for the next time; `kept` is the wire body that answered it, for our own store.
    `asked_agency` is False when nothing left this house.
    """

    section: Section
    answer: Answer
    ticket: Ticket | None = None
    kept: bytes | None = None
    asked_agency: bool = True

    __repr__ = object.__repr__  # what an agency said is in no text about it


Fetch = Callable[[Sequence[Asked]], Awaitable[Sequence[Answered[Section]]]]


@dataclass(frozen=True, slots=True)
class Connector(Generic[Section]):
    """One question to one agency; an agency's module offers `estate(...)` and `birth(...)`, each making one."""

    agency: Agency
    speed: Speed
    source: str
    """Who answers, in words for the person reading, e.g. "National Tax Service"."""
    section: type[Section]
    fetch: Fetch[Section]
