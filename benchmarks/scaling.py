"""How what one question costs grows: with leaves, agencies, persons, workers, and entries in the log.

`python benchmarks/scaling.py` loads our server over the plain agencies (benchmarks/agencies.py), one waiting (16 for
workers), writes a CSV, and draws what `--svg` names. A curve that grows faster than its work is named and ends the
command with 1: CPU faster than leaves or agencies (a power above 1.15 over the last step that doubles them or more), or
a third more CPU for more persons or a longer log.
"""

import argparse
import asyncio
import csv
import hashlib
import itertools
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit import aid, store
from auth.ids import SANDBOX_ROOT
from benchmarks import agencies as plain
from benchmarks import filling, servers
from benchmarks.gateways import asked, equal_to, numbers, stop_if_noisy
from benchmarks.log_search import coordinates
from benchmarks.measuring import Quiet, Slice, cpu_s, drawable, loaded, pyplot, quantile, request, spinning
from benchmarks.servers import Server
from cases.store import Cases

PERSONAS = ("heir", "heir-in-debt", "heir-substitute", "heir-second-rank")
POWER_LIMIT, RISE_LIMIT = 1.15, 1.33
REST_S = 1800
FLAT = {"persons", "log entries"}
"""What a question should not cost more for."""


@dataclass(frozen=True)
class Point:
    """One measurement of a curve; `at` is how much of what is varied."""

    curve: str
    at: int
    cpu_ms: float
    requests_s: float
    p50_ms: float
    p99_ms: float
    rss_mb: float


Cell = tuple[int, Server, Callable[[], bytes], Callable[[bytes], bool]]
"""How much of what is varied, who is asked, how, and what is right."""


class Bench:
    """The world that the servers are in."""

    def __init__(self, folder: Path, said: servers.Agencies, world: servers.Sandbox, quiet: Quiet, rounds: int) -> None:
        self.folder, self.said, self.world, self.quiet, self.rounds = folder, said, world, quiet, rounds
        self.kept = folder

    @contextmanager
    def server(self, name: str, workers: int = 1, folder: Path | None = None) -> Iterator[Server]:
        """One of ours."""
        with servers.onestop(
            name, self.world, folder or self.folder, plain.our_question(), self.said.ports, workers=workers
        ) as server:
            yield server

    def point(
        self,
        curve: str,
        at: int,
        server: Server,
        made: Callable[[], bytes],
        right: Callable[[bytes], bool],
        waiting: int = 1,
    ) -> Point:
        """The median of the rounds, after one that does not count."""
        (point,) = self.in_turn(curve, [(at, server, made, right)], waiting)
        return point

    def in_turn(self, curve: str, cells: Sequence[Cell], waiting: int = 1) -> list[Point]:
        """The same for several servers that are up together, so that a slow minute is slow for all."""
        found: list[list[Slice]] = [[] for _ in cells]
        for turn in range(self.rounds + 1):
            for (at, server, made, right), slices in zip(cells, found, strict=True):
                self.quiet.listen()
                got = loaded(server.port, server.pid, waiting, 1.5 if turn else 0.5, made, right)
                if got.wrong:
                    raise SystemExit(f"{curve} {at}: an answer is not what the agencies said: {got.first_wrong}")
                if turn:
                    slices.append(got)
        return [_point(curve, at, slices) for (at, *_), slices in zip(cells, found, strict=True)]

    def by_leaves(self, sizes: Sequence[int]) -> Iterator[Point]:
        """The more there is to tell."""
        with self.server("leaves") as server:
            for size in sizes:
                self.said.say(size, 0)
                picture = plain.whole(size)
                yield self.point("leaves", plain.leaves_of(picture), server, asked(server), equal_to(server, picture))

    def by_agencies(self) -> Iterator[Point]:
        """The more are asked, each for 10,000 leaves' part of it: what is told grows, so CPU goes by the leaf."""
        self.said.say(10_000, 0)
        with self.server("agencies") as server:
            for number in range(1, len(plain.PLAIN) + 1):
                some = plain.PLAIN[:number]
                one = replace(server, question=plain.our_question(some))
                yield self.point("agencies", number, one, asked(one), equal_to(one, plain.whole(10_000, some)))

    def by_persons(self) -> Iterator[Point]:
        """The more estates are asked about in turn, each by its own heir."""
        self.said.say(plain.BASE_LEAVES, 0)
        with self.server("persons") as server:
            url = f"http://127.0.0.1:{server.port}"
            askers = []
            for persona in PERSONAS:
                sent = servers.signing_in(self.world, url, persona)
                askers.append((sent, {"id": servers.opened_case(url, sent)}))
            for number in (1, 2, len(PERSONAS)):
                bodies = [json.dumps({"query": server.question, "variables": told}).encode() for _, told in askers]
                each = [request(server.port, body, sent()) for (sent, _), body in zip(askers, bodies, strict=True)]
                turns = itertools.cycle(each[:number])
                right = equal_to(server, plain.whole(plain.BASE_LEAVES))
                yield self.point("persons", number, server, lambda turns=turns: next(turns), right)  # type: ignore[misc]

    def by_workers(self) -> Iterator[Point]:
        """The more processes serve."""
        self.said.say(plain.BASE_LEAVES, 0)
        for workers in (1, 2):
            with self.server(f"workers {workers}", workers) as server:
                right = equal_to(server, plain.whole(plain.BASE_LEAVES))
                yield self.point("workers", workers, server, asked(server), right, waiting=16)

    def by_log(self, sizes: Sequence[int]) -> list[Point]:
        """The longer the log is already."""
        self.said.say(plain.BASE_LEAVES, 0)
        cells: list[Cell] = []
        with ExitStack() as stack:
            for size in sizes:
                name = f"log {size}"
                log = servers.data_of(self.kept, name) / "access-log.db"
                if size:
                    self.fill(log, size, name)
                server = stack.enter_context(self.server(name, folder=self.kept))
                come_to_rest(server)
                right = equal_to(server, plain.whole(plain.BASE_LEAVES))
                cells.append((size, server, asked(server), right))
            return self.in_turn("log entries", cells)

    def fill(self, log: Path, size: int, name: str) -> None:
        """A log of so many entries, which were judged when they came, where there is none."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if not log.exists():
            print(f"writing a log of {size:,} entries ...", file=sys.stderr)
            master = hashlib.sha256(b"onestop/access-log/1" + SANDBOX_ROOT).digest()  # as serving.program makes it
            asyncio.run(filling.fill(f"sqlite+aiosqlite:///{log}", size, coordinates(), master))
        with self.server(name, folder=self.kept):
            pass  # makes what it keeps beside the log
        asyncio.run(judged(log))


def _point(curve: str, at: int, found: Sequence[Slice]) -> Point:
    """The median of the rounds."""
    taken = [each for one in found for each in one.taken_ms]
    point = Point(
        curve,
        at,
        statistics.median(each.cpu_ms for each in found),
        statistics.median(each.answers / each.seconds for each in found),
        statistics.median(taken),
        quantile(taken, 0.99),
        max(each.rss_mb for each in found),
    )
    print(point, file=sys.stderr)
    return point


async def judged(log: Path) -> None:
    """As in a log in use: its entries were judged when they came, not all of them now."""
    reading = store.reading_engine(f"sqlite+aiosqlite:///{log}")
    async with reading.connect() as connection, Cases.opened(f"sqlite+aiosqlite:///{log.parent}/cases.db") as cases:
        epoch, last = store.epoch(await store.meta(connection)), await aid.last(connection)
        later = datetime.now(UTC) + timedelta(hours=1)  # when the turn of the server that ended is over
        await cases.reviews().turn(epoch, "benchmark", later, -timedelta(hours=2))
        await cases.reviews().went_on(epoch, "benchmark", last)
    await reading.dispose()


def come_to_rest(server: Server) -> None:
    """Wait until the server does nothing by itself: over a log that it did not write, it first builds the tree."""
    started = time.monotonic()
    before = cpu_s(server.pid)
    while time.monotonic() - started < REST_S:
        time.sleep(2)
        now = cpu_s(server.pid)
        if now - before < 0.1:
            print(f"at rest after {time.monotonic() - started:.0f} s", file=sys.stderr)
            return
        before = now
    raise SystemExit(f"{server.name} does not come to rest")


def too_fast(points: Sequence[Point]) -> list[str]:
    """What grows faster than its work, in words."""
    named = []
    for curve, group in itertools.groupby(points, lambda each: each.curve):
        some = list(group)
        if curve in FLAT:
            rise = some[-1].cpu_ms / some[0].cpu_ms
            if rise > RISE_LIMIT:
                named.append(f"{curve}: {rise:.2f} times the CPU from {some[0].at:,} to {some[-1].at:,}")
        elif curve in {"leaves", "agencies"} and len(some) > 1:
            last = some[-1]
            before = next((each for each in reversed(some[:-1]) if each.at * 2 <= last.at), some[0])
            power = math.log(last.cpu_ms / before.cpu_ms) / math.log(last.at / before.at)
            if power > POWER_LIMIT:
                named.append(f"{curve}: CPU grows with their power {power:.2f} from {before.at:,} to {last.at:,}")
    return named


def drawn(points: Sequence[Point], to: Path) -> None:
    """A panel for each curve."""
    plt = pyplot()

    curves = list(dict.fromkeys(each.curve for each in points))
    figure, axes = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 3), squeeze=False)
    for axis, curve in zip(axes[0], curves, strict=True):
        some = [each for each in points if each.curve == curve]
        axis.plot([each.at for each in some], [each.cpu_ms for each in some], "o-", color="#1f4e79")
        axis.set_xlabel(curve)
        if curve == "leaves":
            axis.set(xscale="log", yscale="log")
        else:
            axis.set_ylim(0, None)
        if curve == "log entries":
            axis.set(xscale="symlog")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("CPU of the server for one answer, ms")
    figure.tight_layout()
    figure.savefig(to, metadata={"Date": None})


def main() -> None:
    """Measure, write, and name what grows too fast."""
    servers.end_when_told()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--leaves", type=numbers, default=[20, 100, 400, 2000, 10_000, 50_000, 100_000])
    parser.add_argument(
        "--log", type=numbers, default=[0, 10_000, 100_000, 1_000_000], help="entries; 10000000 takes long"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where filled logs stay, or are taken from")
    curves = ["leaves", "agencies", "persons", "workers", "log"]
    parser.add_argument("--curves", nargs="+", choices=curves, default=curves)
    parser.add_argument("--even-if-noisy", action="store_true")
    parser.add_argument("--csv", type=Path, default=Path("scaling.csv"))
    parser.add_argument("--svg", type=drawable, help="draw it there; needs matplotlib (group `bench`)")
    given = parser.parse_args()
    with (
        spinning() as pool,
        tempfile.TemporaryDirectory(prefix="onestop-scaling-") as folder,
        servers.agencies(Path(folder)) as said,
        servers.sandbox(Path(folder) / "world") as world,
    ):
        quiet = Quiet(pool)
        quiet.listen(20)
        bench = Bench(Path(folder), said, world, quiet, given.rounds)
        bench.kept = given.keep or Path(folder)
        curve: dict[str, Callable[[], Iterator[Point]]] = {
            "leaves": lambda: bench.by_leaves(given.leaves),
            "agencies": bench.by_agencies,
            "persons": bench.by_persons,
            "workers": bench.by_workers,
            "log": lambda: iter(bench.by_log(given.log)),
        }
        points = [point for name in given.curves for point in curve[name]()]
    stop_if_noisy(quiet, even_so=given.even_if_noisy)
    with given.csv.open("w", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(Point.__dataclass_fields__)
        rows.writerows([p.curve, p.at, *(f"{v:.2f}" for v in list(vars(p).values())[2:])] for p in points)
    if given.svg:
        drawn(points, given.svg)
    print(quiet)
    named = too_fast(points)
    print("\n".join(named) or "Nothing grows faster than its work.")
    sys.exit(bool(named))


if __name__ == "__main__":
    main()
