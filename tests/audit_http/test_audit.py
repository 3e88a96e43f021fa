"""The audits of graphql-http, the reference implementation's own, against the program as it is served."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ONESTOP = Path(sys.executable).with_name("onestop")

NOT_TAKEN = {
    # A question in a URL ends up in logs, histories and caches: GET is the page for browsers.
    "MAY accept application/x-www-form-urlencoded formatted GET requests",
    "MAY allow URL-encoded JSON string {variables} parameter in GETs when accepting application/graphql-response+json",
    "MAY allow URL-encoded JSON string {variables} parameter in GETs when accepting application/json",
}


def test_every_must_and_should_of_graphql_over_http_holds(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", "audit.mjs"):
        shutil.copy(HERE / name, tmp_path)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], cwd=tmp_path, check=True)
    server = subprocess.Popen(
        [ONESTOP, "serve", "--port", "0", "--data", tmp_path / "state"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        url = server.stdout.readline().removeprefix("READY ").strip()
        ran = subprocess.run(
            ["node", "audit.mjs", f"{url}/graphql"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    finally:
        server.terminate()
        server.communicate(timeout=20)
    audits = [json.loads(line) for line in ran.stdout.splitlines()]
    failed = [audit for audit in audits if audit["status"] != "ok"]
    assert len(audits) >= 60
    assert {audit["name"] for audit in failed} == NOT_TAKEN, failed
