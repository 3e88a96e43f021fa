"""No answer is sent before a sync of the log has ended that began after the question came: read from system calls.

`python -m tests.drills.order [--questions 200]`: one asks at a time, and the kernel takes 200 ms longer for each sync.
`--variant normal` and `--variant early` have to fail.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.drills.world import VARIANTS, reported, world

DELAY_S = 0.2
QUESTION = re.compile(r'read\((\d+)<TCP:[^>]*->[^>]*>, "POST /graphql')
QUESTION_RESUMED = re.compile(r'<\.\.\. read resumed>"POST /graphql')
READING = re.compile(r"read\((\d+)<TCP:[^>]*->[^>]*>,? +<unfinished")
ANSWER = re.compile(r'write\((\d+)<TCP:[^>]*->[^>]*>, "HTTP/1\.1 200 .*?access-log: ', re.IGNORECASE)
SYNC = re.compile(r"fdatasync\(\d+<[^>]*access-log\.db-wal>(.*)")
SYNCED = re.compile(r"<\.\.\. fdatasync resumed>\) += 0")
TOOK = re.compile(r"<(\d+\.\d+)>$")


@dataclass
class Order:
    """What a trace says: answers, those of them that came too early, and how long syncs took."""

    answers: int = 0
    too_early: list[str] = field(default_factory=list)
    syncs: list[float] = field(default_factory=list)


def order(lines: Iterable[str]) -> Order:
    """strace prints a call when it ends, and its beginning apart when another thread came in between."""
    found = Order()
    came: dict[str, int] = {}  # by socket: when its question was read
    covered: dict[str, bool] = {}
    began: dict[str, int] = {}  # by thread: when its sync began
    reading: dict[str, str] = {}
    for at, line in enumerate(lines):
        thread = line.split(maxsplit=1)[0]
        if match := READING.search(line):
            reading[thread] = match[1]
        elif (match := QUESTION.search(line)) or QUESTION_RESUMED.search(line):
            socket = match[1] if match else reading[thread]
            came[socket], covered[socket] = at, False
        elif (match := SYNC.search(line)) and "unfinished" in match[1]:
            began[thread] = at
        elif (match and ") = 0" in line) or (thread in began and SYNCED.search(line)):
            start = began.pop(thread, at)
            took = TOOK.search(line.rstrip())
            found.syncs.append(float(took[1]) if took else 0.0)
            covered.update({socket: True for socket, since in came.items() if since < start})
        elif match := ANSWER.search(line):
            found.answers += 1
            # One asks at a time: a sync each, besides one after the question.
            if not covered.get(match[1]) or len(found.syncs) < found.answers:
                found.too_early.append(line[:120])
    return found


@click.command()
@click.option("--questions", default=200, show_default=True)
@click.option("--variant", type=click.Choice(VARIANTS))
def main(questions: int, variant: str | None) -> None:
    delayed = f"inject=fdatasync:delay_enter={int(DELAY_S * 1e6)}"
    with world(variant) as its, its.serving() as server:
        assert server.ask()[0] == 200  # begins the year
        time.sleep(1)
        trace = its.directory / "order.trace"
        options = ("-yy", "-tt", "-T", "-s", "2000", "-e", "trace=fdatasync,read,write", "-e", delayed)
        with server.traced(*options, out=trace):
            for _ in range(questions):
                status, _ = server.ask()
                assert status == 200
        seen = _read(trace)
    reported(
        "order",
        (
            f"{seen.answers} answers of {questions}, {len(seen.too_early)} sent before a sync of the log ended",
            f"{len(seen.syncs)} syncs, the shortest {min(seen.syncs, default=0):.3f} s",
        ),
    )
    assert seen.answers == questions
    assert not seen.too_early, seen.too_early[0]
    assert min(seen.syncs) >= DELAY_S, "the delay did not fire"


def _read(trace: Path) -> Order:
    with trace.open(encoding="utf-8", errors="replace") as lines:
        return order(lines)


if __name__ == "__main__":
    main()
