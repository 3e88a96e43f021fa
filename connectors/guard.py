"""What an agency says is believed only after these checks: the person, the request, the media type, the values.

Everything that can go wrong becomes a status of the contract's `Answer` here (`settled`), so that one agency's fault
stays that agency's. The rules are those of docs/wire/README.md.
"""

import math
import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from http import HTTPStatus
from typing import Final, Protocol, TypeVar

import msgspec
import structlog

from connectors.connector import Answered, Asked
from connectors.transport import AgencyError, Refused, Unavailable, Unreadable, WireReply
from schema.answer import Answer, AnswerProblem, AnswerStatus
from schema.disclosure import Agency
from schema.identifiers import SectorId
from schema.person import Fraction
from schema.scalars import WON_LIMIT, Won
from schema.text import Bilingual

RECORD_LIMIT: Final = 200
INT_LIMIT: Final = 2**31 - 1
"""GraphQL's Int."""

Section = TypeVar("Section")
Wire = TypeVar("Wire")
Choice = TypeVar("Choice", bound=Enum)

log = structlog.get_logger()


class Mismatch(Unreadable):
    """The answer is about another person or to another question: it and every connection to that agency are dropped."""


class NoneHeld(AgencyError):
    """The agency's own word that it has never heard of the person."""

    def __init__(self, reference: str | None = None) -> None:
        """Keep the id of the request that was answered."""
        super().__init__("UNKNOWN_PERSON")
        self.reference = reference


class Late(AgencyError):
    """The agency will answer on a day that it names."""

    def __init__(self, expected_by: date, reference: str | None = None) -> None:
        """Keep the day and the id of the request that was answered."""
        super().__init__("PENDING")
        self.expected_by = expected_by
        self.reference = reference


# ---------------------------------------------------------------- who and what is answered


def same_person(said: str | None, asked: str) -> None:
    """Raise `Mismatch` unless the record or body is about the person asked for."""
    if said != asked:
        raise Mismatch("OTHER_PERSON")


def same_request(said: str | None, asked: str) -> None:
    """Raise `Mismatch` unless the body echoes our request's id."""
    if said != asked:
        raise Mismatch("OTHER_REQUEST")


class _Word(msgspec.Struct, frozen=True, rename="camel"):
    """What an agency says instead of an answer."""

    request_id: str | None = None
    error: str | None = None
    state: str | None = None
    expected_by: date | None = None
    person_id: str | None = None
    owner_id: str | None = None
    taxpayer_id: str | None = None

    def about(self, person: str | None) -> None:
        """Check every name of a person that was said; where a person was asked for, one must be."""
        said = {name for name in (self.person_id, self.owner_id, self.taxpayer_id) if name is not None}
        if said != (set() if person is None else {person}):
            raise Mismatch("OTHER_PERSON")


_WORD: Final = msgspec.json.Decoder(_Word)
REFUSALS: Final = frozenset({"CLIENT_REFUSED", "PURPOSE_REFUSED"})


def decoded(body: bytes, decoder: msgspec.json.Decoder[Wire]) -> Wire:
    """Parse a body into its wire type. Raises `Unreadable`, also for a value outside its enum or calendar."""
    try:
        body.decode()  # msgspec does not look into the strings of members that it passes over
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Unreadable("UNKNOWN_SHAPE") from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise Unreadable("NOT_JSON") from error


def facts(reply: WireReply, person: SectorId | None, media_type: str = "application/json") -> bytes:
    """Give the body of a reply that is an answer about the person (its own echoes are still to be checked).

    Raises `NoneHeld` for the agency's own "unknown person", `Late`, `Refused`, `Mismatch`, and `Unavailable` for
    everything that is not the agency speaking. `person` is None where the question names nobody by sector identifier
    (a lookup).
    """
    match reply.status:
        case HTTPStatus.OK if reply.content_type == media_type and reply.body:
            return reply.body
        case HTTPStatus.ACCEPTED if reply.content_type == "application/json" and reply.body:
            word = decoded(reply.body, _WORD)
            same_request(word.request_id, reply.request_id)
            word.about(person)
            if word.state != "PENDING" or word.expected_by is None:
                raise Unreadable("UNKNOWN_SHAPE")
            raise Late(word.expected_by, reply.request_id)
        case HTTPStatus.FORBIDDEN:
            word = _word(reply)
            raise Refused(word.error if word.error in REFUSALS else "REFUSED")
        case HTTPStatus.NOT_FOUND:
            word = _word(reply)
            if word.error == "UNKNOWN_PERSON":
                same_request(word.request_id, reply.request_id)
                word.about(person)
                raise NoneHeld(reply.request_id)
            raise Unavailable("NOT_AN_ANSWER", reply.retry_after_s)
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable("AGENCY_ERROR", reply.retry_after_s)
        case _:
            raise Unavailable("NOT_AN_ANSWER", reply.retry_after_s)


def _word(reply: WireReply) -> _Word:
    """Parse an error body as far as it is one."""
    try:
        return decoded(reply.body, _WORD)
    except Unreadable:
        return _Word()


# ---------------------------------------------------------------- values


def won(value: int) -> Won:
    """Whole won that a JSON number carries exactly."""
    if abs(value) > WON_LIMIT:
        raise Unreadable("IMPOSSIBLE_AMOUNT")
    return Won(value)


def price(value: int) -> Won:
    """Whole won that cannot be below nothing: a price, a claim."""
    if value < 0:
        raise Unreadable("IMPOSSIBLE_AMOUNT")
    return won(value)


def count(value: int) -> int:
    """A number of things, within GraphQL's Int."""
    if not 0 <= value <= INT_LIMIT:
        raise Unreadable("IMPOSSIBLE_NUMBER")
    return value


def day(text: str) -> date:
    """A day that exists, written YYYY-MM-DD and no other way."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise Unreadable("IMPOSSIBLE_DATE")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Unreadable("IMPOSSIBLE_DATE") from error


def instant(text: str) -> datetime:
    """An instant, RFC 3339 with an offset, as aware UTC."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", text):
        raise Unreadable("IMPOSSIBLE_DATE")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("IMPOSSIBLE_DATE") from error


def decimal(text: str) -> Decimal:
    """An exact number that is not negative, written plainly: an area, a quantity, a tonnage."""
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,10})?", text):
        raise Unreadable("IMPOSSIBLE_NUMBER")
    return Decimal(text)


def area(text: str) -> Decimal:
    """Square metres."""
    return decimal(text)


def fraction(numerator: int, denominator: int) -> Fraction:
    """A share of a whole, more than nothing and at most all of it, in lowest terms."""
    if not 0 < numerator <= denominator <= INT_LIMIT:
        raise Unreadable("IMPOSSIBLE_SHARE")
    common = math.gcd(numerator, denominator)
    return Fraction(numerator=numerator // common, denominator=denominator // common)


def code(choices: type[Choice], text: str) -> Choice:
    """The member of that name."""
    try:
        return choices[text]
    except KeyError as error:
        raise Unreadable("UNKNOWN_CODE") from error


def distinct(keys: Sequence[str]) -> None:
    """Raise unless every record has a key of its own."""
    if len(set(keys)) != len(keys):
        raise Unreadable("DUPLICATE_RECORD")


def within_limit(records: int) -> None:
    """Raise when more records came than anybody has."""
    if records > RECORD_LIMIT:
        raise Unreadable("TOO_MANY_RECORDS")


def first_syllable(name: str) -> str:
    """Mask a name: its first syllable or letter and two stars, whatever its length (김**)."""
    return unicodedata.normalize("NFC", name.strip())[:1] + "**"


def shown(asked: Asked, coordinate: str, value: str | None) -> str | None:
    """A text as far as it may be read: whole, masked, or not at all."""
    if value is None or coordinate not in asked.coordinates:
        return None
    return first_syllable(value) if coordinate in asked.masked else value


def allowed(asked: Asked, coordinate: str, value: Wire | None) -> Wire | None:
    """A value where it may be read, else None."""
    return value if coordinate in asked.coordinates else None


# ---------------------------------------------------------------- how it went

PROBLEMS: Final[dict[str, Bilingual]] = {
    "TIMEOUT": Bilingual("기관이 제때 응답하지 않았습니다.", "The agency did not answer in time."),
    "CONNECTION_FAILED": Bilingual("기관에 연결할 수 없습니다.", "The agency could not be reached."),
    "AGENCY_ERROR": Bilingual("기관 시스템에 오류가 있습니다.", "The agency's system reports an error."),
    "NOT_AN_ANSWER": Bilingual("기관의 응답이 아닙니다.", "What came back is not an answer of the agency."),
    "REFUSED": Bilingual("기관이 조회를 거절했습니다.", "The agency refused the question."),
    "CLIENT_REFUSED": Bilingual(
        "기관이 이 시스템의 조회를 거절했습니다.", "The agency does not accept questions from this system."
    ),
    "PURPOSE_REFUSED": Bilingual("기관이 조회 목적을 거절했습니다.", "The agency refused the purpose of the question."),
    "NOTHING_ALLOWED": Bilingual(
        "열람이 허용된 항목이 없어 조회하지 않았습니다.", "Nothing may be read here, so the agency was not asked."
    ),
    "PENDING": Bilingual("기관이 나중에 응답합니다.", "The agency will answer later."),
    "OTHER_PERSON": Bilingual(
        "다른 사람에 관한 응답이 와서 버렸습니다.", "The answer was about another person and was dropped."
    ),
    "OTHER_REQUEST": Bilingual(
        "다른 조회에 대한 응답이 와서 버렸습니다.", "The answer was to another question and was dropped."
    ),
    "NOT_JSON": Bilingual("응답을 해석할 수 없습니다.", "The answer could not be parsed."),
    "KEYS_UNAVAILABLE": Bilingual("기관의 서명 키를 받을 수 없습니다.", "The agency's signing keys could not be had."),
    "INTERNAL": Bilingual(
        "내부 오류로 응답을 처리하지 못했습니다.", "The answer could not be processed because of an error of ours."
    ),
}
_OTHER: Final = Bilingual(
    "응답에 믿을 수 없는 내용이 있어 사용하지 않았습니다.", "The answer contains something impossible and is not used."
)


def problem(code: str, institution: str | None = None) -> AnswerProblem:
    """A problem in words; `institution` names the part of the agency that it concerns."""
    return AnswerProblem(code=code, institution=institution, message_text=PROBLEMS.get(code, _OTHER))


class Instant(Protocol):
    """Anything that was asked at an instant: `Asked`, or an inquiry to the register."""

    @property
    def now(self) -> datetime:
        """The instant of asking, aware UTC."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Who answers, and the clock by which we note when."""

    agency: Agency
    source: str
    clock: Callable[[], datetime]

    def answer(
        self,
        asked: Instant | None,
        status: AnswerStatus,
        *,
        reference: str | None = None,
        as_of: datetime | None = None,
        expected_by: date | None = None,
        visible_until: datetime | None = None,
        retry_after_s: int | None = None,
        problems: Iterable[AnswerProblem] = (),
    ) -> Answer:
        """How it went, noted now. `asked` is None when nobody was asked; nothing came back when UNAVAILABLE."""
        return Answer(
            agency=self.agency,
            status=status,
            source=self.source,
            source_reference=reference,
            requested_at=None if asked is None else asked.now,
            expected_by=expected_by,
            retrieved_at=None if asked is None or status is AnswerStatus.UNAVAILABLE else self.clock(),
            as_of=as_of,
            visible_until=visible_until,
            retry_after_seconds=retry_after_s,
            problems=list(problems),
        )

    def failure(self, asked: Instant, error: AgencyError) -> Answer:
        """How it went when this is all that can be said."""
        match error:
            case NoneHeld():
                return self.answer(asked, AnswerStatus.NONE_HELD, reference=error.reference)
            case Late():
                return self.answer(
                    asked, AnswerStatus.PENDING, reference=error.reference, expected_by=error.expected_by
                )
            case Unavailable():
                status, retry_after_s = AnswerStatus.UNAVAILABLE, error.retry_after_s
            case Refused():
                status, retry_after_s = AnswerStatus.REFUSED, None
            case _:
                status, retry_after_s = AnswerStatus.UNREADABLE, None
        return self.answer(asked, status, retry_after_s=retry_after_s, problems=[problem(error.code)])

    def not_asked(self, unknown: Callable[[Answer], Section]) -> Answered[Section]:
        """Nothing of the section may be read, so nothing leaves this house."""
        answer = self.answer(None, AnswerStatus.REFUSED, problems=[problem("NOTHING_ALLOWED")])
        return Answered(section=unknown(answer), answer=answer, asked_agency=False)


async def settled(
    desk: Desk,
    asked: Instant,
    work: Awaitable[Answered[Section]],
    *,
    unknown: Callable[[Answer], Section],
    nothing: Callable[[Answer], Section],
    drop_pool: Callable[[], Awaitable[None]] | None = None,
) -> Answered[Section]:
    """Await the work on one person's question; whatever is raised becomes that person's answer.

    `unknown` makes the section with its lists null, `nothing` the one with its lists empty. Only cancellation passes.
    """
    try:
        return await work
    except AgencyError as error:
        if isinstance(error, Mismatch) and drop_pool is not None:
            await drop_pool()
        answer = desk.failure(asked, error)
        section = nothing(answer) if isinstance(error, NoneHeld) else unknown(answer)
    except Exception as error:
        # no traceback: its texts may hold what the agency sent (I6)
        log.error("connector_failed", agency=desk.agency.name, kind=type(error).__name__)  # noqa: TRY400
        answer = desk.failure(asked, Unavailable("INTERNAL"))
        section = unknown(answer)
    return Answered(section=section, answer=answer)


async def attempt(work: Awaitable[Wire]) -> Wire | AgencyError:
    """Give what one part of an agency said, or how it failed, so that the other parts still count."""
    try:
        return await work
    except AgencyError as error:
        return error


def failures(parts: Sequence[object]) -> list[AgencyError]:
    """The parts that did not answer although others did: they make the whole PARTIAL.

    Raises what makes the whole worthless (something unbelievable anywhere, first of all a mismatch) and, when no part
    answered, what describes them best: an answer still to come, else the first failure. `NoneHeld` is an answer; it is
    raised when all parts say it.
    """
    failed = [part for part in parts if isinstance(part, AgencyError)]
    worthless = [error for error in failed if isinstance(error, Unreadable)]
    if worthless:
        raise next((error for error in worthless if isinstance(error, Mismatch)), worthless[0])
    missing = [error for error in failed if not isinstance(error, NoneHeld)]
    if missing and len(missing) == len(parts):
        raise next((error for error in missing if isinstance(error, Late)), missing[0])
    if failed and len(failed) == len(parts) and not missing:
        raise failed[0]
    return missing
