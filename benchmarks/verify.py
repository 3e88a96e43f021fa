"""How fast `onestop log verify` is, and in how much memory: `python benchmarks/verify.py [ENTRIES]`.

Builds a log of so many entries (benchmarks/verify_log.py), at VERIFY_URL if it is given, and verifies it with every
check on. Prints entries a second by the clock and by the processors used (other work on the machine shows in the first
only), and the greatest memory that all processes held at one time: the sum of their proportional set sizes, looked at
twice a second. Like the command, this imports little: processes that check import it too.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

MASTER = bytes(range(32))


def resident() -> int:
    """Bytes that this process and its children hold in memory, each shared page counted once (proportional set)."""
    mine = [os.getpid(), *children(os.getpid())]
    return sum(proportional(process) for process in mine)


def children(process: int) -> Iterator[int]:
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        yield from (int(child) for child in thread.read_text().split())


def proportional(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("VERIFY_URL") or f"sqlite+aiosqlite:///{folder}/log.db"
        building = multiprocessing.get_context("spawn").Process(target=build, args=(url, entries))
        building.start()
        building.join()
        measure(url, entries)


def build(url: str, entries: int) -> None:
    """In a process of its own, whose memory is not what is measured."""
    from verify_log import made  # noqa: PLC0415 - nor is what it imports

    made(url, entries)


def measure(url: str, entries: int) -> None:
    from audit.verifying import verify  # noqa: PLC0415 - what builds the log is not what is measured

    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            most[0] = max(most[0], resident())

    watching = threading.Thread(target=watch)
    watching.start()
    before, started = spent(), time.monotonic()
    verdict = verify(url, MASTER)
    took = time.monotonic() - started
    ended.set()
    watching.join()
    used = spent() - before
    assert verdict.intact, verdict
    assert verdict.entries == entries, verdict
    print(f"{entries} entries in {took:.1f} s: {entries / took:,.0f} entries/s, {most[0] / 2**20:.0f} MiB")
    print(f"processors used: {used:.1f} s, {used / entries * 1e6:.1f} us an entry")


def spent() -> float:
    """Seconds of processors, ended children included."""
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in each)


if __name__ == "__main__":
    main()
