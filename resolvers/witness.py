"""What an answer showed, of whom: read off the finished answer, after nulls have bubbled, and before anybody gets it.

A leaf that is not null was *disclosed*. A null or an empty list at a place that was answered still tells that there
is nothing: *null*. A null where an agency did not answer is *failed*, and one that the ruling took out is *withheld*.
A withheld coordinate with a value is a defect of ours: `Leak`, and nothing is sent.

What was projected (resolvers/execution.py) is not looked at again: what it told was noted on the way.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from resolvers.columns import Projected, record_name
from resolvers.plan import LOG_TYPES, Collected, Part, Plan, Region, entered, moved
from resolvers.recording import RECORD_KEYS, STANDING, Completed
from schema.answer import AnswerStatus
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate


class Leak(Exception):
    """A withheld coordinate carried a value."""


class Ruled(Protocol):
    """What the witness asks of a case in hand (or of the viewer's own region)."""

    @property
    def case_id(self) -> CaseId | None: ...

    def withheld_of(self, part: Part) -> frozenset[Coordinate]: ...


class Subject(NamedTuple):
    """One person within one region of one case: an entry's worth. A tuple, since what was seen is found by it."""

    person: PersonId
    region: Region
    part: Part
    case_id: CaseId | None


@dataclass(slots=True)
class Seen:
    """What one answer told about one subject."""

    disclosed: set[Coordinate] = field(default_factory=set)
    null: set[Coordinate] = field(default_factory=set)
    failed: set[Coordinate] = field(default_factory=set)
    withheld: set[Coordinate] = field(default_factory=set)
    records: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


SETTLED = frozenset({AnswerStatus.COMPLETE, AnswerStatus.NONE_HELD, AnswerStatus.EXISTENCE_ONLY})
"""Statuses under which a null in the section tells that there is nothing. Within a record it always does."""


OWN = frozenset({"Viewer", *LOG_TYPES})
"""Types that are about the person at hand, or else the viewer."""


class _Place(NamedTuple):
    subject: Subject | None
    ruled: Ruled | None
    answered: bool


class Witness:
    """Walks one finished answer."""

    def __init__(
        self, plan: Plan, completed: Completed, rulings: Mapping[PersonId | CaseId, Ruled], viewer: PersonId
    ) -> None:
        self._plan = plan
        self._viewer = viewer
        self._completed = completed
        self._rulings = rulings
        self.seen: dict[Subject, Seen] = defaultdict(Seen)

    def look(self, data: Mapping[str, Any] | None) -> dict[Subject, Seen]:
        """Everything the answer told, by subject."""
        if data is not None:
            self._object(data, self._plan.fields.of_root(self._plan), (), _Place(None, None, answered=True))
        return self.seen

    def _object(
        self, data: Mapping[str, Any], fields: Mapping[str, Collected], path: tuple[str | int, ...], place: _Place
    ) -> None:
        for key, collected in fields.items():
            if not collected.name.startswith("__") and key in data:
                self._value(data[key], collected, (*path, key), place)

    def _value(self, value: Any, field_: Collected, path: tuple[str | int, ...], place: _Place) -> None:
        subject, ruled = place.subject, place.ruled
        if subject is not None:
            seen = self.seen[subject]
            withheld = ruled is not None and field_.coordinate in ruled.withheld_of(subject.part)
            if value is None:
                (seen.withheld if withheld else seen.null if place.answered else seen.failed).add(field_.coordinate)
                return
            if withheld:
                raise Leak(field_.coordinate)
            (seen.null if value == [] else seen.disclosed).add(field_.coordinate)
        if value is not None and field_.leads_on:
            self._composite(value, field_, path, place)

    def _composite(self, value: Any, field_: Collected, path: tuple[str | int, ...], place: _Place) -> None:
        noted = self._completed.get(path)
        if isinstance(noted, Projected):
            self._projected(field_, noted, place)
            return
        if isinstance(value, list):
            for index, item in enumerate(value):
                if item is not None:
                    self._composite(item, field_, (*path, index), place)
            return
        types = self._plan.fields.objects(field_.type)
        type_ = types[0] if noted is None else next(t for t in types if t.name == noted[0])
        inner = self._place(type_.name, field_.coordinate, noted[1] if noted else None, place)
        if inner.subject is not None and noted is not None and type_.name in RECORD_KEYS:
            key = getattr(noted[1], RECORD_KEYS[type_.name])
            self.seen[inner.subject].records[type_.name].add(record_name(key))
        self._object(value, self._plan.fields.of(type_, field_.nodes), path, inner)

    def _projected(self, field_: Collected, projected: Projected, place: _Place) -> None:
        """All that was projected at one place."""
        if projected.columns.type_name in STANDING:
            place = self._place(projected.columns.type_name, field_.coordinate, projected.source, place)
        subject, ruled = place.subject, place.ruled
        if subject is None:
            return
        told = projected.told(answered=place.answered)
        records = projected.records()
        if not (any(told) or records):
            return
        withheld = ruled.withheld_of(subject.part) if ruled is not None else frozenset()
        if leaked := withheld & (told.disclosed | told.empty):
            raise Leak(min(leaked))
        seen = self.seen[subject]
        seen.disclosed |= told.disclosed
        seen.null |= (told.null - withheld) | told.empty
        seen.failed |= told.failed - withheld
        seen.withheld |= withheld & (told.null | told.failed)
        for type_name, keys in records.items():
            seen.records[type_name] |= keys

    def _place(self, type_name: str, via: Coordinate, source: Any, place: _Place) -> _Place:
        """Whose data lies inside an object."""
        subject, ruled, answered = place.subject, place.ruled, place.answered
        if source is None:
            return place
        status = getattr(getattr(source, "answer", None), "status", None)
        if status is not None:
            answered = status in SETTLED
        answered = answered or type_name in RECORD_KEYS
        region, part = entered(type_name, subject.region if subject else None, subject.part if subject else None)
        person: PersonId | None = self._viewer if subject is None else subject.person
        if type_name not in OWN:
            person = getattr(source, "subject", None) or getattr(getattr(source, "person", None), "subject", None)
        if region is None or part is None or person is None:
            return _Place(subject, ruled, answered)
        if subject is None or region is not subject.region:
            ruled = self._rulings.get(getattr(source, "ref", None) or person, ruled)
        case_id = ruled.case_id if ruled else None
        return _Place(Subject(person, region, moved(via, part), case_id), ruled, answered)
