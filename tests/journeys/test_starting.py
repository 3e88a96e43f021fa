"""The port of a program that starts is its own from the beginning."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

ONESTOP = str(Path(sys.executable).with_name("onestop"))


@contextmanager
def starting(folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESTOP_")}
    environment["XDG_RUNTIME_DIR"] = str(folder)
    command = [ONESTOP, "serve", "--port", str(port), "--data", str(folder / "var")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def portal_of(process: "subprocess.Popen[str]") -> str:
    """Where the sandbox was told that the portal will be, as soon as it was."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        for child in children.read_text().split():
            said = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
            if "--portal-origin" in said:
                return said[said.index("--portal-origin") + 1]
    raise AssertionError("it ended")


def test_a_free_port_is_taken_before_anything_is_told_of_it(tmp_path: Path) -> None:
    with starting(tmp_path, 0) as process:
        port = urlsplit(portal_of(process)).port
        assert port
        with socket.create_connection(("127.0.0.1", port), timeout=20):
            assert process.stdout
            assert process.stdout.readline() == f"READY http://127.0.0.1:{port}\n"


def test_a_taken_port_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with starting(tmp_path, port) as process:
            _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"127.0.0.1:{port} cannot be listened on" in said
    assert not (tmp_path / "var").exists()
