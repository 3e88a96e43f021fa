"""Fixtures that several folders share, and tests that need a tool: without it they are deselected, and told of."""

import shutil
from pathlib import Path

import pytest
import strawberry  # noqa: F401 - takes over `threading.excepthook` when imported: first, so that pytest hears of threads

pytest_plugins = ["tests.postgres"]

HERE = Path(__file__).parent
NODE = (shutil.which("node") and shutil.which("npm"), "install Node")
GO = (
    shutil.which("go") and Path("/usr/share/gocode/src/golang.org/x/mod/sumdb").is_dir(),
    "apt-get install golang-go golang-golang-x-mod-dev",
)
NEEDED = {
    "audit_http": NODE,
    "go_peers": GO,
    "signin_peers/test_chromium.py": (shutil.which("chromium"), "install Chromium"),
    "signin_peers/test_foreign_issuer.py": NODE,
    "signin_peers/test_peers.py": NODE,
    "token_peers": NODE,
}
REMEDIES = {HERE / place: remedy for place, (is_here, remedy) in NEEDED.items() if not is_here}
_left_out: dict[Path, int] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = []
    for item in items:
        place = next((place for place in (item.path, item.path.parent) if place in REMEDIES), None)
        if place is not None:
            _left_out[place] = _left_out.get(place, 0) + 1
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for place, number in _left_out.items():
        remedy = REMEDIES[place]
        terminalreporter.write_line(f"tests/{place.relative_to(HERE)}: {number} tests deselected; {remedy}.")
