"""A witness that was set and is gone for longer than its grace: nothing is shown; when it is back, all goes on."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import COSIGNATURE, VerifierKey
from audit.witness import cosigned_at
from tests.journeys.client import commanded, sent, serving
from tests.journeys.documents import VIEWER

LONG_AGO = 1_700_000_000
SOME_LOG = VerifierKey("some/log", Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()).text


@contextmanager
def witness(folder: Path, log: str, port: str = "0") -> Iterator[tuple[str, str]]:
    """Its key and its URL."""
    command = [sys.executable, "-m", "sandbox.witness", "--directory", str(folder), "--log", log, "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = [process.stdout.readline().split()[1] for _ in range(2)]
            yield said[0], said[1]
        finally:
            process.kill()


def until(seen: Callable[[], Any]) -> None:
    for _ in range(300):
        if seen():
            return
        time.sleep(0.1)
    raise AssertionError("never seen")


def test_without_its_witness_for_too_long_the_program_shows_nothing_and_recovers_by_itself(
    known: dict[str, Any], tmp_path: Path
) -> None:
    with witness(tmp_path / "w", SOME_LOG) as (key, url):
        pass  # gone, but its key and its port are known
    settings = {"ONESTOP_LOG_WITNESS_URL": url, "ONESTOP_LOG_WITNESS_KEY": key, "ONESTOP_LOG_WITNESS_GRACE_S": "300"}
    with serving(tmp_path, known, **settings) as onestop:
        asker = onestop.as_("heir")
        assert asker.ask(VIEWER).entries  # within the grace
        assert sent("GET", f"{onestop.url}/log/witnessed").status == 404
        os.utime(onestop.directory / "access-log-tiles" / "endorsed" / "witness.covered", (LONG_AGO, LONG_AGO))
        until(lambda: sent("GET", f"{onestop.url}/readyz").json["log"] == "down")
        assert sent("GET", f"{onestop.url}/readyz").status == 503
        refused = asker.ask(VIEWER)
        assert (refused.code, refused.json.get("data"), refused.entries) == ("LOG_UNAVAILABLE", None, [])
        log = commanded("log", "key", "--data", str(onestop.directory)).strip()
        with witness(tmp_path / "w", log, url.rpartition(":")[2]):
            until(lambda: sent("GET", f"{onestop.url}/readyz").status == 200)
            assert asker.ask(VIEWER).entries
            note = sent("GET", f"{onestop.url}/log/witnessed").body
        assert cosigned_at(note, VerifierKey.parsed(key, COSIGNATURE)).timestamp() > LONG_AGO
