"""What a projected part of an answer told, as the projection noted it on its way.

One `Columns` stands for one selection on one type. A projection (resolvers/execution.py) notes each place where it met
nothing, by number, and each list of objects. A field of which no null was noted is disclosed wherever there is an
object, so that nobody has to look at the objects once more.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from schema.scalars import Coordinate


class Told(NamedTuple):
    """What a group of objects told of which coordinates."""

    disclosed: set[Coordinate]
    null: set[Coordinate]
    empty: set[Coordinate]
    failed: set[Coordinate]


@dataclass(frozen=True, slots=True)
class Open:
    """A field that may be null or a list, with the numbers under which a null and an empty list are noted."""

    coordinate: Coordinate
    null: int
    empty: int


@dataclass(frozen=True, slots=True)
class Columns:
    """See the module. `record` is the attribute that tells records of the type from each other, if it has records.

    `lists` is where lists of the objects are noted, None where they come one by one; `absent` the number of a null in
    place of one.
    """

    type_name: str
    record: str | None
    sure: frozenset[Coordinate]
    open: tuple[Open, ...]
    below: tuple["Columns", ...]
    every: frozenset[Coordinate]
    """What is told, here and below, when there is something everywhere."""
    lists: int | None = None
    absent: int | None = None


@dataclass(frozen=True, slots=True)
class Projected:
    """A value whose whole selection was projected: the schema value it was made from, and what was noted."""

    columns: Columns
    source: Any
    nothing: Sequence[int]
    lists: Sequence[Sequence[Sequence[Any]]]

    def told(self, *, answered: bool) -> Told:
        """What it told; a null tells that there is nothing only where somebody `answered`, or within a record."""
        told = Told(set(), set(), set(), set())
        if self.nothing or self.columns.lists is not None:
            _look(self.columns, Counter(self.nothing), self.lists, 1, told, answered=answered)
        else:
            told.disclosed.update(self.columns.every)
        return told

    def records(self) -> dict[str, set[str]]:
        """By type, the keys of the records that were told."""
        found: dict[str, set[str]] = {}
        self._name(self.columns, found)
        return found

    def _name(self, columns: Columns, found: dict[str, set[str]]) -> None:
        if columns.record is not None:
            lists = [[self.source]] if columns.lists is None else self.lists[columns.lists]
            if keys := set(map(attrgetter(columns.record), chain.from_iterable(lists))):
                names = found.setdefault(columns.type_name, set())
                names.update([key if key.__class__ is str else record_name(key) for key in keys])
        for each in columns.below:
            self._name(each, found)


def record_name(key: Any) -> str:
    """A record's key as the log hears it."""
    return str(getattr(key, "name", key))


def _look(
    columns: Columns,
    nothing: Counter[int],
    lists: Sequence[Sequence[Sequence[Any]]],
    objects: int,
    told: Told,
    *,
    answered: bool,
) -> None:
    """Add what objects told, of which there are as many as places for them, less the nulls."""
    if columns.lists is not None:
        objects = sum(map(len, lists[columns.lists]))
    if columns.absent is not None:
        objects -= nothing[columns.absent]
    if not objects:
        return
    answered = answered or columns.record is not None
    told.disclosed.update(columns.sure)
    missing = told.null if answered else told.failed
    for each in columns.open:
        nulls, empty = nothing[each.null], nothing[each.empty]
        if nulls:
            missing.add(each.coordinate)
        if empty:
            told.empty.add(each.coordinate)
        if nulls + empty < objects:
            told.disclosed.add(each.coordinate)
    for below in columns.below:
        _look(below, nothing, lists, objects, told, answered=answered)
