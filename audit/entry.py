"""One access as a value: who read which fields of whom, why, and how it ended. Never what the fields said.

An `Access` has no member that could hold a value that was seen, but for two of the officers' part that the caller
words or redacts: `reason` and `variables`. Names of persons, cases and records come in as they are; the person's own
part keeps persons and records as keyed references only.

An `Entry` is an access as it is recorded: two parts in canonical JSON (RFC 8785), one that may be told to the person
and one for officers only, each with a salt of its own, and a leaf of fixed size that commits to both without saying
anything (the tree hashes it as RFC 6962 does).
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from audit.keys import References
from schema.identifiers import CaseId, PersonId

if TYPE_CHECKING:  # it comes with Strawberry, which every process that checks the log would load
    from schema.scalars import Coordinate

SENSITIVITIES = ("PRESENCE", "IDENTITY", "INVENTORY", "AMOUNT", "SPECIAL")
"""Names of the graph's Sensitivity, least first."""

LEAF_VERSION = 1
ENTRY_LEAF = 1
SELECTION_LEAF = 2
DROPPED_MONTH_LEAF = 3
ERASED_KEY_LEAF = 4
COMPACTED_MONTH_LEAF = 5
COMPACTED = "compacted:"
"""How the store's facts name a month that was compacted; the value is the SHA-256 of the manifest, in hex."""
SIGNING_KEY_LEAF = 6
SIGNING_KEY = "signing-key:"
"""How the store's facts name a change of the log's signing key; the value is the note that says so."""
ORDER_LEAVES = (DROPPED_MONTH_LEAF, ERASED_KEY_LEAF, COMPACTED_MONTH_LEAF, SIGNING_KEY_LEAF)
"""Kinds of leaves that say what was done to the log, each with a row or a fact of the store."""
LEAF_BYTES = 38
SALT_BYTES = 32
RECORD_REFERENCE_BYTES = 16
COMMITMENT_PREFIX = b"onestop/access/1"
PLAIN = frozenset((str, int, bool, type(None)))
"""Values that the encoder looks at closely enough."""
CANONICAL = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


class Task(StrEnum):
    VIEW = "VIEW"
    SEARCH = "SEARCH"
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    EXPORT = "EXPORT"
    LOG_VIEW = "LOG_VIEW"


class Outcome(StrEnum):
    DISCLOSED = "DISCLOSED"
    PARTIAL = "PARTIAL"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Selection:
    """The coordinates a document reads of one person, sorted, named by the hash of schema hash and list."""

    schema_hash: str
    coordinates: "tuple[Coordinate, ...]"
    id: str = field(init=False, compare=False)
    bits: "Mapping[Coordinate, int]" = field(init=False, compare=False, repr=False)
    """Each coordinate's bit in a bitmap."""

    def __post_init__(self) -> None:
        if list(self.coordinates) != sorted(set(self.coordinates)):
            raise ValueError("the coordinates of a selection are sorted and occur once")
        named = canonical({"coordinates": list(self.coordinates), "schema": self.schema_hash})
        object.__setattr__(self, "id", hashlib.sha256(named).hexdigest())
        last = _bitmap_bytes(self) * 8 - 1
        object.__setattr__(self, "bits", {name: 1 << (last - at) for at, name in enumerate(self.coordinates)})

    @property
    def leaf(self) -> bytes:
        """A selection is a leaf of its own, without a month, so that its id can never be given another meaning."""
        return leaf(SELECTION_LEAF, 0, bytes.fromhex(self.id))


def selection(schema_hash: str, coordinates: "Iterable[Coordinate]") -> Selection:
    return _selection(schema_hash, frozenset(coordinates))


@lru_cache(maxsize=128)
def _selection(schema_hash: str, coordinates: "frozenset[Coordinate]") -> Selection:
    """Naming one takes longer than anything else of an entry, and documents that are asked again read the same."""
    return Selection(schema_hash, tuple(sorted(coordinates)))


@dataclass(frozen=True, slots=True)
class Records:
    """How many records of one agency were read, and which.

    Going in, `keys` are the agency's own keys; they are replaced by keyed references before anything is written, and
    coming out of the log they are those references (hex).
    """

    count: int
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Visibility:
    """An access that the person is told of only later: from when on, on whose authority, and by which order."""

    hidden_until: datetime
    authority: str
    order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one operation did with one person's data. `answers` maps each agency asked to its AnswerStatus.

    A coordinate may be disclosed in one record and null in another, so the sets may overlap; all lie within the
    selection. `derived` are those that were not shown, but what was shown was computed from them.
    `sensitivity` is the greatest that was touched, None when nothing was.
    """

    # told to the person
    operation: UUID
    at: datetime
    task: Task
    operation_name: str | None
    document_hash: str | None
    selection: Selection
    subject: PersonId | None
    subject_role: str | None
    records: Mapping[str, Records]
    answers: Mapping[str, str]
    disclosed: "AbstractSet[Coordinate]"
    null: "AbstractSet[Coordinate]"
    withheld: "AbstractSet[Coordinate]"
    failed: "AbstractSet[Coordinate]"
    derived: "AbstractSet[Coordinate]" = frozenset()
    sensitivity: str | None
    purpose: str | None
    legal_basis: str | None
    case_id: CaseId | None
    case_number: str | None
    organisation: str | None
    outcome: Outcome
    policy_ids: tuple[str, ...]
    policy_set_hash: str | None
    # told to officers only
    viewer: str
    roles: tuple[str, ...]
    office: str | None
    agency: str | None
    on_behalf_of: str | None
    session: str | None
    assurance: str | None
    client_id: str
    source_address: str | None
    reason: str | None
    variables: Mapping[str, Any] | None
    trace_id: str | None
    request_id: str | None
    visibility: Visibility | None = None
    """None: the person may know at once."""

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("the moment of an access is aware")
        if self.sensitivity is not None and self.sensitivity not in SENSITIVITIES:
            raise ValueError(f"{self.sensitivity} is no sensitivity")

    def is_hidden(self, now: datetime) -> bool:
        """Whether the person may not know yet. It ends by itself."""
        return self.visibility is not None and now < self.visibility.hidden_until

    @property
    def year(self) -> int:
        """Year of the keys, in UTC."""
        return self.at.astimezone(UTC).year

    @property
    def month(self) -> int:
        """Period of the leaf, yyyymm in UTC."""
        at = self.at.astimezone(UTC)
        return at.year * 100 + at.month


@dataclass(frozen=True, slots=True)
class Entry:
    """An access as recorded. The parts are exactly the bytes the commitment was computed over."""

    id: UUID
    access: Access
    subject_ref: bytes | None
    viewer_ref: bytes
    case_ref: bytes | None
    person_part: bytes = field(repr=False)
    staff_part: bytes = field(repr=False)
    person_salt: bytes = field(repr=False)
    staff_salt: bytes = field(repr=False)

    leaf: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaf", leaf(ENTRY_LEAF, self.access.month, self.commitment))

    @property
    def commitment(self) -> bytes:
        person = hashlib.sha256(self.person_salt + self.person_part).digest()
        staff = hashlib.sha256(self.staff_salt + self.staff_part).digest()
        return hashlib.sha256(COMMITMENT_PREFIX + person + staff).digest()


def entry(access: Access, entry_id: UUID, references: References) -> Entry:
    """The entry of an access under its year's references, with fresh salts.

    Raise ValueError when a coordinate lies outside the selection or a text has no canonical form.
    """
    subject_ref = None if access.subject is None else references.of("person", access.subject)
    salts = secrets.token_bytes(2 * SALT_BYTES)
    return Entry(
        id=entry_id,
        access=access,
        subject_ref=subject_ref,
        viewer_ref=references.of("viewer", access.viewer),
        case_ref=None if access.case_id is None else references.of("case", access.case_id),
        person_part=canonical(_person_part(access, entry_id, subject_ref, references)),
        staff_part=canonical(_staff_part(access, entry_id)),
        person_salt=salts[:SALT_BYTES],
        staff_salt=salts[SALT_BYTES:],
    )


def recorded_entry(
    person_part: bytes, staff_part: bytes, salts: tuple[bytes, bytes], read: Selection, references: References
) -> Entry:
    """The entry that two stored parts spell. Raise ValueError or KeyError when they are not the parts of one entry."""
    person, staff = orjson.loads(person_part), orjson.loads(staff_part)
    if person["id"] != staff["id"] or person["selection"] != read.id:
        raise ValueError("the two parts are of different entries, or of another selection")
    access = Access(
        operation=UUID(person["operation"]),
        at=datetime.fromisoformat(person["at"]),
        task=Task(person["task"]),
        operation_name=person["operation_name"],
        document_hash=person["document_hash"],
        selection=read,
        subject=staff["subject"],
        subject_role=person["subject_role"],
        records={name: Records(held["count"], tuple(held["references"])) for name, held in person["records"].items()},
        answers=person["answers"],
        disclosed=marked(read, person["disclosed"]),
        null=marked(read, person["null"]),
        withheld=marked(read, person["withheld"]),
        failed=marked(read, person["failed"]),
        derived=marked(read, person["derived"]),
        sensitivity=person["sensitivity"],
        purpose=person["purpose"],
        legal_basis=person["legal_basis"],
        case_id=person["case"],
        case_number=person["case_number"],
        organisation=person["organisation"],
        outcome=Outcome(person["outcome"]),
        policy_ids=tuple(person["policy_ids"]),
        policy_set_hash=person["policy_set_hash"],
        viewer=staff["viewer"],
        roles=tuple(staff["roles"]),
        office=staff["office"],
        agency=staff["agency"],
        on_behalf_of=staff["on_behalf_of"],
        session=staff["session"],
        assurance=staff["assurance"],
        client_id=staff["client"],
        source_address=staff["source_address"],
        reason=staff["reason"],
        variables=None if staff["variables"] is None else json.loads(staff["variables"]),
        trace_id=staff["trace"],
        request_id=staff["request"],
        visibility=_visibility(staff["visibility"]),
    )
    subject_ref = None if access.subject is None else references.of("person", access.subject)
    if person["subject"] != (None if subject_ref is None else subject_ref.hex()):
        raise ValueError("the reference is not that of the person")
    return Entry(
        id=UUID(person["id"]),
        access=access,
        subject_ref=subject_ref,
        viewer_ref=references.of("viewer", access.viewer),
        case_ref=None if access.case_id is None else references.of("case", access.case_id),
        person_part=person_part,
        staff_part=staff_part,
        person_salt=salts[0],
        staff_salt=salts[1],
    )


def _person_part(
    access: Access, entry_id: UUID, subject_ref: bytes | None, references: References
) -> Mapping[str, object]:
    read = access.selection
    return {
        "id": str(entry_id),
        "operation": str(access.operation),
        "at": access.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "task": access.task,
        "operation_name": access.operation_name,
        "document_hash": access.document_hash,
        "selection": read.id,
        "subject": None if subject_ref is None else subject_ref.hex(),
        "subject_role": access.subject_role,
        "records": {
            agency: {
                "count": held.count,
                "references": [
                    whole[:RECORD_REFERENCE_BYTES].hex() for whole in references.each(f"record:{agency}", held.keys)
                ],
            }
            for agency, held in access.records.items()
        },
        "answers": dict(access.answers),
        "disclosed": bitmap(read, access.disclosed),
        "null": bitmap(read, access.null),
        "withheld": bitmap(read, access.withheld),
        "failed": bitmap(read, access.failed),
        "derived": bitmap(read, access.derived),
        "sensitivity": access.sensitivity,
        "purpose": access.purpose,
        "legal_basis": access.legal_basis,
        "case": access.case_id,
        "case_number": access.case_number,
        "organisation": access.organisation,
        "outcome": access.outcome,
        "policy_ids": list(access.policy_ids),
        "policy_set_hash": access.policy_set_hash,
    }


def _staff_part(access: Access, entry_id: UUID) -> Mapping[str, object]:
    # Variables are whatever a caller sent, floats too: kept as one text, which has a canonical form whatever is in it.
    variables = None if access.variables is None else json.dumps(access.variables, sort_keys=True)
    return {
        "id": str(entry_id),
        "subject": access.subject,
        "viewer": access.viewer,
        "roles": list(access.roles),
        "office": access.office,
        "agency": access.agency,
        "on_behalf_of": access.on_behalf_of,
        "session": access.session,
        "assurance": access.assurance,
        "client": access.client_id,
        "source_address": access.source_address,
        "reason": access.reason,
        "variables": variables,
        "trace": access.trace_id,
        "request": access.request_id,
        "visibility": None
        if (hidden := access.visibility) is None
        else {
            "hidden_until": hidden.hidden_until.astimezone(UTC).isoformat(timespec="microseconds"),
            "authority": hidden.authority,
            "order": hidden.order,
        },
    }


def _visibility(said: Mapping[str, str] | None) -> Visibility | None:
    if said is None:
        return None
    return Visibility(datetime.fromisoformat(said["hidden_until"]), said["authority"], said["order"])


def canonical(value: object) -> bytes:
    """RFC 8785 JSON of strings, booleans, None, whole numbers within ±(2^53 - 1), lists, and mappings with ASCII names.

    Within these, sorted names and the shortest escapes are all that the RFC asks; whatever lies outside (floats, whose
    form is the hard part of the RFC, and names that sort differently in UTF-16) raises ValueError.
    """
    _require_plain(value)
    try:
        return orjson.dumps(value, option=CANONICAL)
    except TypeError as error:
        raise ValueError("no canonical form") from error


def _require_plain(value: object) -> None:
    """Most of an entry is text, and text is looked at by the encoder: one call per container keeps this cheap."""
    if isinstance(value, dict):
        try:
            is_ascii = "".join(value).isascii()
        except TypeError:
            is_ascii = False
        if not is_ascii:
            raise ValueError("a name has no canonical form here")
        inside: Iterable[object] = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    elif type(value) is float:
        raise ValueError("a float has no canonical form here")
    else:
        return
    for inner in inside:
        if type(inner) not in PLAIN:
            _require_plain(inner)


def bitmap(read: Selection, coordinates: "AbstractSet[Coordinate]") -> str:
    """Hex; bit i, counted from the first bit of the first byte, is the selection's coordinate i."""
    of, bits = read.bits, 0
    try:
        for name in coordinates:
            bits |= of[name]
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is not in the selection") from None
    return bits.to_bytes(_bitmap_bytes(read), "big").hex()


def _bitmap_bytes(read: Selection) -> int:
    return (len(read.coordinates) + 7) // 8


def marked(read: Selection, hex_bits: str) -> "frozenset[Coordinate]":
    """The coordinates a bitmap names. Raise ValueError when it is not one over this selection."""
    size = _bitmap_bytes(read)
    stored = bytes.fromhex(hex_bits)
    bits, last = int.from_bytes(stored, "big"), size * 8 - 1
    if len(stored) != size or bits & ((1 << (size * 8 - len(read.coordinates))) - 1):
        raise ValueError("no bitmap over this selection")
    return frozenset(name for at, name in enumerate(read.coordinates) if bits >> (last - at) & 1)


def leaf(kind: int, month: int, commitment: bytes) -> bytes:
    """38 bytes without content: version, kind, yyyymm as 32 bits, commitment."""
    return bytes((LEAF_VERSION, kind)) + month.to_bytes(4, "big") + commitment


def part_name(entry_id: str, part: str) -> bytes:
    """What a sealed part is bound to."""
    return f"{entry_id}|{part}".encode()


def dropped_month_leaf(month: int) -> bytes:
    """Says that the entries of a month, yyyymm, were dropped when their time was over."""
    return leaf(DROPPED_MONTH_LEAF, month, hashlib.sha256(f"onestop/dropped-month/1{month}".encode()).digest())


def erased_key_leaf(key_id: str) -> bytes:
    """Says that a key was destroyed by order."""
    named = f"onestop/erased-key/1{key_id}".encode(errors="replace")  # a damaged store may hold what is no text
    return leaf(ERASED_KEY_LEAF, 0, hashlib.sha256(named).digest())


def compacted_month_leaf(name: object, value: object) -> bytes | None:
    """Says that a month was compacted and what its manifest is; None when the fact of the store is no such fact."""
    if not isinstance(name, str) or not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        return None
    month = name.removeprefix(COMPACTED)
    if not re.fullmatch(r"[0-9]{6}", month, re.ASCII):
        return None
    said = hashlib.sha256(f"onestop/compacted-month/1{month}{value}".encode()).digest()
    return leaf(COMPACTED_MONTH_LEAF, int(month), said)


def changed_key_leaf(name: str, note: str) -> bytes:
    """Says that the log's signing key was changed, and how."""
    return leaf(SIGNING_KEY_LEAF, 0, hashlib.sha256(f"onestop/log-key/1{name}{note}".encode(errors="replace")).digest())


def recorded_leaf(name: object, value: object) -> bytes | None:
    """The leaf that says a fact of the store, of those that have one; None when it is no such fact."""
    if isinstance(name, str) and isinstance(value, str) and name.startswith(SIGNING_KEY):
        return changed_key_leaf(name, value)
    return compacted_month_leaf(name, value)


def leaf_hash(data: bytes) -> bytes:
    """RFC 6962, 2.1: a leaf is hashed behind a zero byte."""
    return hashlib.sha256(b"\x00" + data).digest()


def uuid7(at: datetime) -> UUID:
    """RFC 9562, 5.7: 48 bits of milliseconds, then random bits."""
    random = secrets.randbits(74)
    milliseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & ((1 << 62) - 1))
