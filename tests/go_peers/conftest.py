"""The peer needs Go and its module library. Where they are missing it is deselected, and the summary says so."""

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIBRARY = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb")
IS_HERE = shutil.which("go") is not None and LIBRARY.is_dir()
_left_out = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    global _left_out  # noqa: PLW0603 - told in the summary, which pytest asks for elsewhere
    peers = [item for item in items if item.path.parent == HERE]
    if peers and not IS_HERE:
        _left_out = len(peers)
        config.hook.pytest_deselected(items=peers)
        items[:] = [item for item in items if item.path.parent != HERE]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out:
        terminalreporter.write_line(
            "Go's view of the log deselected: apt-get install golang-go golang-golang-x-mod-dev"
        )
