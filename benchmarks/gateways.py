"""onestop beside what a team would take instead: same agencies, same question, same minutes of the same machine.

`python benchmarks/gateways.py` starts six plain JSON agencies (benchmarks/agencies.py), the sandbox for our sign-in and
register, our server in its variants and the peers at the versions of benchmarks/peers/package.json (installed on first
use into the user's cache), and loads each in turn, so that a busy minute is busy for all. Every answer is compared with
what the agencies said. It prints Markdown and draws what `--svg` names; with `--even-if-noisy` also when the machine
was too busy for the figures to mean anything, which it then says. `--real` loads our server over the sandbox's six
protocols.

CPU is the server's processes' (for ours: not the sandbox's), the median of the rounds. `--dry` says how long it takes.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import agencies as plain
from benchmarks import servers
from benchmarks.measuring import Quiet, Slice, drawable, loaded, quantile, request, spinning
from benchmarks.servers import Server

OURS = "onestop, SQLite, bearer"
OUR_NAMES = (
    OURS,
    "onestop, SQLite, DPoP",
    "onestop, PostgreSQL, bearer",
    "onestop, fast path off",
    "onestop, selections only",
    "onestop, log off",
)
WITHOUT = {"onestop, fast path off": "off", "onestop, selections only": "selections"}
STRAWBERRY = "plain Strawberry"
TARGETS = {
    "Apollo Gateway": 0.15, "Hive Gateway": 0.3, "GraphQL Yoga": 0.5, STRAWBERRY: 0.25, "Mercurius with JIT": 1.0,
}  # fmt: skip
"""Our CPU over theirs, at most, at 16 waiting and 400 leaves (issue 5)."""
HEAVY_TARGET = 0.06
SETTLING_S = 1.0


@dataclass(frozen=True, order=True)
class Cell:
    """One load."""

    leaves: int
    delay_ms: int
    waiting: int


Results = dict[tuple[str, Cell], list[Slice]]


def started(stack: ExitStack, names: Sequence[str], folder: Path, ports: dict[str, int]) -> Iterable[Server]:
    """The servers by their names, one after the other."""
    about, supergraph = folder / "agencies.json", folder / "supergraph.graphql"
    listed = [
        {"name": each.name, "holds": each.holds, "type": each.type, "fields": each.fields, "port": ports[each.name],
         "sdl": f"{each.types}type Query {{\n{each.root}}}\n"}
        for each in plain.PLAIN
    ]  # fmt: skip
    about.write_text(json.dumps({"sdl": plain.monolith(), "agencies": listed}))
    if any("Gateway" in name for name in names):
        servers.composed(about, supergraph)
    if any(name in OUR_NAMES for name in names):
        world = stack.enter_context(servers.sandbox(folder / "world"))
    for name in names:
        if name in servers.PEER_NAMES:
            yield stack.enter_context(servers.peer(name, about, supergraph, folder, plain.flat_question()))
            continue
        env = {}
        if "PostgreSQL" in name:
            cases, log = stack.enter_context(servers.postgres())
            env = {"ONESTOP_DATABASE_URL": cases, "ONESTOP_LOG_URL": log}
        elif name in WITHOUT:
            env = {"ONESTOP_FAST_PATH": WITHOUT[name]}
        elif "log off" in name:
            env = {"BENCH_LOG": "off"}
        yield stack.enter_context(
            servers.onestop(name, world, folder, plain.our_question(), ports, env=env, sender_bound="DPoP" in name)
        )


def asked(server: Server) -> Callable[[], bytes]:
    """How each request is made. Only headers change, and with a bearer token not even these within a slice."""
    body = json.dumps({"query": server.question, "variables": server.variables}).encode()
    if "DPoP" in server.name:
        return lambda: request(server.port, body, server.sent())
    same = request(server.port, body, server.sent())
    return lambda: same


def equal_to(server: Server, picture: Any) -> Callable[[bytes], bool]:
    """Whether an answer is the picture, leaf by leaf."""

    def right(body: bytes) -> bool:
        try:
            return bool(server.picture(orjson.loads(body)) == picture)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    return right


def measured(
    up: Sequence[Server], cells: Sequence[Cell], said: servers.Agencies, quiet: Quiet, rounds: int, seconds: float
) -> Results:
    """Every cell in every round for every server in turn; the first round in another order than the next."""
    found: Results = defaultdict(list)
    for number in range(rounds):
        for cell in cells:
            said.say(cell.leaves, cell.delay_ms)
            picture = plain.whole(cell.leaves)
            for server in itertools.islice(itertools.cycle(up), number % len(up), number % len(up) + len(up)):
                quiet.listen()
                right, made = equal_to(server, picture), asked(server)
                if number == 0:
                    loaded(server.port, server.pid, cell.waiting, SETTLING_S, made, right)
                got = loaded(server.port, server.pid, cell.waiting, seconds, made, right)
                found[server.name, cell].append(got)
                if got.wrong:
                    print(f"{server.name} {cell}: {got.wrong} wrong, first: {got.first_wrong}", file=sys.stderr)
        print(f"round {number + 1} of {rounds}: {quiet}", file=sys.stderr)
    return found


# ---------------------------------------------------------------- telling


def row(name: str, slices: Sequence[Slice], ours: Sequence[Slice] | None) -> str:
    """Of the table of one cell."""
    wrong, answers = sum(each.wrong for each in slices), sum(each.answers for each in slices)
    if wrong:
        return f"| {name} | – | – | – | – | – | – | {wrong} of {answers} not equal |"
    ratio = f"{_ratio(ours, slices):.2f}" if ours else "–"
    taken = [each for one in slices for each in one.taken_ms]
    return (
        f"| {name} | {_cpu(slices):.2f} | {ratio} "
        f"| {statistics.median(each.answers / each.seconds for each in slices):.0f} "
        f"| {statistics.median(taken):.1f} | {quantile(taken, 0.99):.1f} | {max(each.rss_mb for each in slices):.0f} "
        f"| {answers} equal |"
    )


def _cpu(slices: Sequence[Slice]) -> float:
    return statistics.median(each.cpu_ms for each in slices)


def _ratio(ours: Sequence[Slice], theirs: Sequence[Slice]) -> float:
    """Of CPU: the median of the rounds' ratios, since a round is one time on the machine."""
    return statistics.median(our.cpu_ms / each.cpu_ms for our, each in zip(ours, theirs, strict=True))


def tables(found: Results, names: Sequence[str], cells: Sequence[Cell]) -> str:
    """A table for each cell."""
    told = []
    for cell in cells:
        told += [
            f"### {cell.leaves:,} leaves, agencies after {cell.delay_ms} ms, {cell.waiting} waiting",
            "",
            "| server | CPU ms | ours / theirs | requests/s | p50 ms | p99 ms | RSS MB | answers |",
            "|---|---|---|---|---|---|---|---|",
            *(row(name, found[name, cell], found.get((OURS, cell))) for name in names),
            "",
        ]
    return "\n".join(told)


def targets(found: Results, names: Sequence[str]) -> str:
    """What issue 5 asks for and what was measured; a target whose load was not measured is not told."""
    told = ["| target | at most | measured | |", "|---|---|---|---|"]

    def said(what: str, limit: float, got: Callable[[], float], *needed: tuple[str, Cell], unit: str = "") -> None:
        if found.keys() >= {*needed}:
            value = got()
            told.append(f"| {what} | {limit:g}{unit} | {value:.2f}{unit} | {'met' if value <= limit else 'missed'} |")

    usual, many, heavy = (
        Cell(*each) for each in ((plain.BASE_LEAVES, 0, 16), (plain.BASE_LEAVES, 0, 64), (10_000, 0, 16))
    )
    ours, proved, unlogged = (OURS, usual), (OUR_NAMES[1], usual), (OUR_NAMES[4], usual)
    for name in names:
        if name in TARGETS:
            theirs = (name, usual)
            said(f"CPU / {name}", TARGETS[name], lambda it=theirs: _ratio(found[ours], found[it]), ours, theirs)  # type: ignore[misc]
    said(
        "10,000 leaves: CPU / plain Strawberry",
        HEAVY_TARGET,
        lambda: _ratio(found[OURS, heavy], found[STRAWBERRY, heavy]),
        (OURS, heavy),
        (STRAWBERRY, heavy),
    )
    said("CPU / CPU without log", 1.1, lambda: _ratio(found[ours], found[unlogged]), ours, unlogged)
    said("DPoP, CPU more", 0.5, lambda: _cpu(found[proved]) - _cpu(found[ours]), ours, proved, unit=" ms")
    with_log, without = (OURS, many), (OUR_NAMES[4], many)
    said(
        "log, p50 more at 64 waiting",
        6,
        lambda: _p50(found[with_log]) - _p50(found[without]),
        with_log,
        without,
        unit=" ms",
    )
    said("memory at 64 waiting", 150, lambda: max(each.rss_mb for each in found[with_log]), with_log, unit=" MB")
    return "\n".join(told)


def _p50(slices: Sequence[Slice]) -> float:
    return statistics.median(each for one in slices for each in one.taken_ms)


def drawn(found: Results, names: Sequence[str], cells: Sequence[Cell], to: Path) -> None:
    """CPU for each answer as bars, one panel for each cell without latency."""
    import matplotlib as mpl  # noqa: PLC0415 - of the group `bench`

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    shown = [cell for cell in cells if cell.delay_ms == min(each.delay_ms for each in cells)]
    figure, axes = plt.subplots(len(shown), 1, figsize=(9, 0.6 + 0.35 * len(names) * len(shown)), squeeze=False)
    for axis, cell in zip(axes[:, 0], shown, strict=True):
        values = [_cpu(found[name, cell]) for name in names]
        colours = ["#1f4e79" if name in OUR_NAMES else "#9aa5b1" for name in names]
        bars = axis.barh(range(len(names)), values, color=colours)
        axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.set_title(
            f"{cell.leaves:,} leaves, {cell.waiting} waiting: server CPU per answer, ms", fontsize=9, loc="left"
        )
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(to, metadata={"Date": None})


# ---------------------------------------------------------------- the command


def compared(given: argparse.Namespace, quiet: Quiet, folder: Path) -> str:
    """Ours and the peers over the plain agencies."""
    cells = [Cell(*each) for each in itertools.product(given.leaves, given.delays, given.waiting)]
    with ExitStack() as stack:
        said = stack.enter_context(servers.agencies(folder))
        up = list(started(stack, given.servers, folder, said.ports))
        quiet.listen(5)
        found = measured(up, cells, said, quiet, given.rounds, given.seconds)
        quiet.listen(5)
    stop_if_noisy(quiet, even_so=given.even_if_noisy)
    if given.svg:
        drawn(found, given.servers, cells, given.svg)
    return f"{targets(found, given.servers)}\n\n{tables(found, given.servers, cells)}"


def real(given: argparse.Namespace, quiet: Quiet, folder: Path) -> str:
    """Ours over the sandbox's six protocols: the whole estate. Every answer has the leaves of the first."""
    estate = (Path(__file__).parent / "estate.graphql").read_text()
    rows, names = [], OUR_NAMES[:4]
    found: Results = defaultdict(list)
    with ExitStack() as stack:
        world = stack.enter_context(servers.sandbox(folder / "world"))
        postgres = stack.enter_context(servers.postgres())
        envs: list[dict[str, str]] = [
            {}, {}, {"ONESTOP_DATABASE_URL": postgres[0], "ONESTOP_LOG_URL": postgres[1]}, {"ONESTOP_FAST_PATH": "off"},
        ]  # fmt: skip
        up = [
            stack.enter_context(
                servers.onestop(name, world, folder, estate, None, env=env, sender_bound="DPoP" in name)
            )
            for name, env in zip(names, envs, strict=True)
        ]
        quiet.listen(5)
        first: dict[str, Any] = {}
        cells = [Cell(0, 0, waiting) for waiting in given.waiting]
        for number, cell, server in itertools.product(range(given.rounds), cells, up):
            quiet.listen()
            made = asked(server)

            def right(body: bytes, name: str = server.name) -> bool:
                answer = orjson.loads(body)
                facts = _lasting(answer["data"]) if not answer.get("errors") else None
                return facts is not None and facts == first.setdefault(name, facts)

            if number == 0:
                loaded(server.port, server.pid, cell.waiting, SETTLING_S, made, lambda _: True)
            got = loaded(server.port, server.pid, cell.waiting, given.seconds, made, right)
            found[server.name, cell].append(got)
            if got.wrong:
                print(f"{server.name} {cell}: {got.wrong} wrong, first: {got.first_wrong}", file=sys.stderr)
        quiet.listen(5)
    stop_if_noisy(quiet, even_so=given.even_if_noisy)
    rows.append(f"{plain.leaves_of(next(iter(first.values())))} leaves that last\n")
    for cell in cells:
        rows += [
            f"### {cell.waiting} waiting\n",
            "| server | CPU ms | ours / theirs | requests/s | p50 ms | p99 ms | RSS MB | answers |",
            "|---|---|---|---|---|---|---|---|",
            *(row(name, found[name, cell], found[OURS, cell]) for name in names),
            "",
        ]
    return "\n".join(rows)


PASSING = {
    "requestedAt",
    "retrievedAt",
    "asOf",
    "sourceReference",
    "openedAt",
    "visibleUntil",
    "number",
    "id",
    "receipt",
}
"""What differs from one answer to the next, or from one server's case to another's."""


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in PASSING}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def profile(folder: Path) -> None:
    """Where our CPU goes in the question over the plain agencies, in shares."""
    with servers.agencies(folder) as said:
        os.environ["BENCH_PORTS"] = json.dumps(said.ports)
        from benchmarks import estate_question  # noqa: PLC0415 - the ports first
        from benchmarks import plain as standing  # noqa: PLC0415

        standing.stand_in()
        estate_question.profiled(100, folder, plain.our_question())


def stop_if_noisy(quiet: Quiet, *, even_so: bool) -> None:
    """No report of a machine that was busy with something else."""
    if not quiet.is_quiet and not even_so:
        raise SystemExit(f"The machine is too noisy to report anything: {quiet}. Try again when it is quiet.")


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Measure and print."""
    servers.end_when_told()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load, for each server and cell in each round")
    parser.add_argument("--leaves", type=numbers, default=[400, 10_000])
    parser.add_argument("--delays", type=numbers, default=[0, 5, 50], help="ms that the agencies take")
    parser.add_argument("--waiting", type=numbers, default=[1, 16, 64])
    everybody = [*OUR_NAMES, *servers.PEER_NAMES]
    parser.add_argument(
        "--servers", nargs="+", choices=everybody, default=everybody, metavar="NAME", help=", ".join(everybody)
    )
    parser.add_argument("--real", action="store_true", help="ours over the sandbox's six protocols")
    parser.add_argument("--profile", action="store_true", help="only print where our CPU goes, in shares")
    parser.add_argument("--even-if-noisy", action="store_true")
    parser.add_argument("--dry", action="store_true", help="only say how long it would take")
    parser.add_argument("--svg", type=drawable, help="draw it there; needs matplotlib (group `bench`)")
    given = parser.parse_args()
    if given.profile:
        with tempfile.TemporaryDirectory(prefix="onestop-bench-") as folder:
            profile(Path(folder))
        return
    loads = len(given.waiting) * (4 if given.real else len(given.leaves) * len(given.delays) * len(given.servers))
    print(f"about {loads * given.rounds * (given.seconds + 1) / 60 + 2:.0f} minutes", file=sys.stderr)
    if given.dry:
        return
    with spinning() as pool, tempfile.TemporaryDirectory(prefix="onestop-bench-") as folder:
        quiet = Quiet(pool)
        quiet.listen(20)
        told = (real if given.real else compared)(given, quiet, Path(folder))
    print(f"`python benchmarks/gateways.py {' '.join(sys.argv[1:])}`\n")
    if not quiet.is_quiet:
        print("**The machine was too noisy for these figures to mean anything.**")
    print(f"{given.rounds} rounds of {given.seconds:g} s; {quiet}.\n")
    print(told)


if __name__ == "__main__":
    main()
