"""A disk that is full, read-only, slow or failing, and a log that somebody else holds: no data, then recovery.

`python -m tests.drills.faults [--tries 500]`: so many questions while the log cannot be written, over five faults. Each
is made by the kernel's word on the log's own files (strace), but for the lock. `--variant swallow` has to fail.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import click

from tests.drills.world import VARIANTS, Server, reported, world

FAULTS: Mapping[str, Sequence[str]] = {
    "full": ("-e", "inject=pwrite64:error=ENOSPC"),
    "read-only": ("-e", "inject=pwrite64:error=EROFS"),
    "failing": ("-e", "inject=fdatasync:error=EIO"),
    "slow": ("-e", "inject=fdatasync:delay_enter=4000000"),
    "locked": (),
}


@contextmanager
def broken(server: Server, fault: str) -> Iterator[None]:
    log = server.world.log
    if fault == "locked":
        with closing(sqlite3.connect(log, isolation_level=None, timeout=10)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            yield
            holder.execute("ROLLBACK")
        return
    files = [option for name in ("", "-wal") for option in ("-P", f"{log}{name}")]
    with server.traced(*files, "-e", "trace=pwrite64,fdatasync", *FAULTS[fault]):
        yield


def recovery_s(server: Server) -> float:
    """Until data comes again."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        status, body = server.ask()
        if status == 200 and body["data"] and server.is_ready:
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError("no data within a minute after the fault was gone")


def require_unready(server: Server) -> None:
    ended = time.monotonic() + 10
    while server.is_ready:
        assert time.monotonic() < ended, "ready all the time"
        time.sleep(0.1)


@click.command()
@click.option("--tries", default=500, show_default=True)
@click.option("--fault", "faults", type=click.Choice(list(FAULTS)), multiple=True, default=list(FAULTS))
@click.option("--variant", type=click.Choice(VARIANTS))
def main(tries: int, faults: Sequence[str], variant: str | None) -> None:
    with world(variant) as its, its.serving() as server:
        assert server.ask()[0] == 200
        said = []
        for fault in faults:
            refused = 0
            with broken(server, fault):
                for _ in range(max(1, tries // len(faults))):
                    status, body = server.ask()
                    assert status == 503, f"{fault}: status {status}"
                    assert not body.get("data"), f"{fault}: data was shown"
                    assert body["errors"][0]["extensions"]["code"] == "LOG_UNAVAILABLE"
                    refused += 1
                require_unready(server)  # which remembers for a second
            said.append(f"{fault}: {refused} refused, data again after {recovery_s(server):.1f} s")
        entries = its.require_whole()
        reported("faults", (*said, f"{entries} entries, intact"))


if __name__ == "__main__":
    main()
