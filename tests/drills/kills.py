"""kill -9 at random moments under load, and at the n-th call of every system call on the way from commit to answer.

`python -m tests.drills.kills [--times 200] [--steps 60]`: nothing received that is not logged, the log intact after
each kill, and how long each start took. `--variant early` has to fail.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice

import click

from tests.drills.world import VARIANTS, World, reported, world

CALLS = ("pwrite64", "write", "fdatasync", "pwrite64", "read", "write")
"""Per thread: pages into the WAL, its sync, and what goes to and comes from agencies, askers and the other threads."""


def steps(number: int) -> Iterator[tuple[str, int]]:
    """So many calls to be killed at: the first of each, then the second, and so on."""
    seen: Counter[str] = Counter()
    for call in islice(cycle(CALLS), number):
        seen[call] += 1
        yield call, seen[call]


def killed_at_random(its: World, dice: random.Random) -> float:
    with its.serving() as server, server.under_load():
        time.sleep(dice.uniform(0.1, 2.0))
        server.process.kill()
        server.process.wait()
        return server.start_s


def killed_at(its: World, call: str, number: int) -> tuple[float, bool]:
    """Seconds to start, and whether it died of that call."""
    with (
        its.serving() as server,
        server.traced("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"),
    ):
        with server.under_load(askers=2):
            ended = time.monotonic() + 5
            while server.process.poll() is None and time.monotonic() < ended:
                time.sleep(0.01)
        return server.start_s, server.process.poll() == -9


@click.command()
@click.option("--times", default=200, show_default=True)
@click.option("--steps", "number", default=60, show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option("--variant", type=click.Choice(VARIANTS))
def main(times: int, number: int, seed: int, variant: str | None) -> None:
    dice = random.Random(seed)  # noqa: S311 - so that a run can be had again
    starts: list[float] = []
    reached: list[str] = []
    with world(variant) as its:
        for each in range(1, times + 1):
            starts.append(killed_at_random(its, dice))
            lost = its.received - its.stored()
            assert not lost, f"{len(lost)} received answers have no entry"
            if each % 20 == 0:
                reported("kills", (f"{each} at random", f"{len(its.received)} answers received, all logged"))
        for call, nth in steps(number):
            start_s, died = killed_at(its, call, nth)
            starts.append(start_s)
            if died:
                reached.append(f"{call} {nth}")
            lost = its.received - its.stored()
            assert not lost, f"killed at {call} {nth}: {len(lost)} received answers have no entry"
        entries = its.require_whole()
        starts.sort()
        reported(
            "kills",
            (
                f"{times} at random, {len(reached)} of {number} at a system call",
                f"{len(its.received)} answers received, all among {entries} entries, intact",
                f"READY after {starts[len(starts) // 2]:.2f} s (median), {starts[-1]:.2f} s (longest)",
            ),
        )
        assert its.received
        assert not number or len(reached) >= number * 2 // 3, f"only died at {reached}"


if __name__ == "__main__":
    main()
