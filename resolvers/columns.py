"""What a projected part of an answer told, read by column.

One `Columns` stands for one selection on one type. It looks at all objects of that selection together: a field that
is never null is disclosed wherever there is an object, and only the others are looked at value by value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from schema.scalars import Coordinate


@dataclass(slots=True)
class Told:
    """What a group of objects told: coordinates, and by type the keys of its records."""

    disclosed: set[Coordinate] = field(default_factory=set)
    null: set[Coordinate] = field(default_factory=set)
    empty: set[Coordinate] = field(default_factory=set)
    failed: set[Coordinate] = field(default_factory=set)
    records: dict[str, set[str]] = field(default_factory=dict)

    @property
    def coordinates(self) -> set[Coordinate]:
        """All of them."""
        return self.disclosed | self.null | self.empty | self.failed


@dataclass(frozen=True, slots=True)
class Below:
    """A field that leads to other objects of the projection."""

    key: str
    attribute: str
    columns: "Columns"


@dataclass(frozen=True, slots=True)
class Columns:
    """See the module. `record` is the attribute that tells records of the type from each other, if it has records."""

    type_name: str
    record: str | None
    sure: frozenset[Coordinate]
    open: tuple[tuple[str, Coordinate], ...]
    below: tuple[Below, ...]
    keyed: bool
    """Whether there are records here or below, so that the objects behind the answer are needed."""

    def look(self, items: Sequence[Mapping[str, Any]], sources: Sequence[Any], told: Told, *, answered: bool) -> None:
        """Add what the objects told; `sources` are those they were made from, in the same order."""
        if not items:
            return
        if self.record is not None:
            answered = True
            keys = set(map(attrgetter(self.record), sources))
            told.records.setdefault(self.type_name, set()).update(str(getattr(key, "name", key)) for key in keys)
        told.disclosed |= self.sure
        missing = told.null if answered else told.failed
        for key, coordinate in self.open:
            values = [item[key] for item in items]
            if None in values:
                missing.add(coordinate)
            if [] in values:
                told.empty.add(coordinate)
            if any(value is not None and value != [] for value in values):
                told.disclosed.add(coordinate)
        for each in self.below:
            inner = [item[each.key] for item in items]
            behind = [getattr(source, each.attribute) for source in sources] if each.columns.keyed else inner
            each.columns.look(*flat(inner, behind), told, answered=answered)


def flat(items: Sequence[Any], sources: Sequence[Any]) -> tuple[list[Mapping[str, Any]], list[Any]]:
    """The objects in values and lists of them, without nulls, each with its source."""
    found: list[Mapping[str, Any]] = []
    behind: list[Any] = []
    for item, source in zip(items, sources, strict=True):
        if item.__class__ is list:
            inner, sources_ = flat(item, source)
            found += inner
            behind += sources_
        elif item is not None:
            found.append(item)
            behind.append(source)
    return found, behind
