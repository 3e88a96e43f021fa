"""Dice of the sandbox: the same throws on every machine.

Only whole numbers: a logarithm's last bit may differ from one C library to the next. Each use has dice of its own,
seeded from a label, so that nothing depends on the order of the questions or on Python's hash seed.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from hashlib import sha256
from random import Random
from typing import TypeVar

Thing = TypeVar("Thing")


def hashed(label: str, below: int) -> int:
    """One throw without dice: a number from 0 up to but not including `below`, the same for the same label."""
    return int.from_bytes(sha256(label.encode()).digest()[:8]) % below


class Dice:
    """Seeded throws of whole numbers, things and days."""

    __slots__ = ("_random",)

    def __init__(self, label: str) -> None:
        self._random = Random(int.from_bytes(sha256(label.encode()).digest()[:8]))

    def below(self, limit: int) -> int:
        """A number from 0 up to but not including `limit`."""
        return self._random.randrange(limit)

    def between(self, least: int, most: int) -> int:
        """A number from `least` to `most`, both included."""
        return self._random.randrange(least, most + 1)

    def chance(self, per_mille: int) -> bool:
        """True in so many of 1,000 throws."""
        return self._random.randrange(1000) < per_mille

    def pick(self, things: Sequence[Thing]) -> Thing:
        """Any one of them."""
        return things[self._random.randrange(len(things))]

    def weighted(self, things: Sequence[Thing], running_sums: Sequence[int]) -> Thing:
        """One of them by weight."""
        return things[bisect_right(running_sums, self._random.randrange(running_sums[-1]))]

    def day(self, first: date, last: date) -> date:
        """A day from the first to the last, both included; the first if the last is before it."""
        return first + timedelta(days=self.below(max(0, (last - first).days) + 1))


def interpolated(table: Sequence[tuple[int, int]], at: int) -> int:
    """Value of a broken line through (x, y) points in ascending x, rounded down; constant beyond its ends."""
    place = bisect_right([x for x, _ in table], at)
    if place == 0:
        return table[0][1]
    if place == len(table):
        return table[-1][1]
    (x0, y0), (x1, y1) = table[place - 1], table[place]
    return y0 + (y1 - y0) * (at - x0) // (x1 - x0)
