"""The sandbox as a child process: ``python -m sandbox``.

Prints one line of JSON with its addresses when everything answers. Ends with SIGTERM, or when its standard input
closes: then its parent is gone.
"""

import argparse
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

from sandbox.agencies.frame import KOREA
from sandbox.identifiers import SANDBOX_ROOT
from sandbox.server import AUDIENCE, PORTAL_ORIGIN, Endpoints, Sandbox, serve


def main() -> None:
    """Read the options and serve; the one place here that reads the clock."""
    options = _options()
    sandbox = Sandbox(
        port_base=options.port_base,
        people=options.people,
        seed=options.seed,
        directory=options.directory,
        id_root=bytes.fromhex(options.id_key_file.read_text().strip().splitlines()[-1])
        if options.id_key_file
        else SANDBOX_ROOT,
        audience=options.audience,
        portal_origin=options.portal_origin,
        today=options.today or datetime.now(KOREA).date(),
        now=lambda: datetime.now(UTC),
    )
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(sandbox, _tell)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Serve the synthetic nation.")
    parser.add_argument("--port-base", type=int, default=8100, help="first of the ports; 0 for any free ones")
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--directory", type=Path, required=True, help="keeps the signing key and the vehicle replica")
    parser.add_argument("--today", type=date.fromisoformat, help="the nation's day (default: today in Korea)")
    parser.add_argument(
        "--id-key-file", type=Path, help="its last line is the key of the sector identifiers, in hexadecimal"
    )
    parser.add_argument("--audience", default=AUDIENCE, help="whom its access tokens are for")
    parser.add_argument("--portal-origin", default=PORTAL_ORIGIN, help="where onestop is, which sign-in leads back to")
    return parser.parse_args()


def _tell(endpoints: Endpoints) -> None:
    sys.stdout.write(json.dumps(asdict(endpoints)) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
