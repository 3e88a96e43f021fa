"""The peers need Node and npm. Where they are missing they are deselected, and the summary says so."""

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
_left_out = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    global _left_out  # noqa: PLW0603 - told in the summary, which pytest asks for elsewhere
    peers = [item for item in items if item.path.parent == HERE]
    if MISSING and peers:
        _left_out = len(peers)
        config.hook.pytest_deselected(items=peers)
        items[:] = [item for item in items if item.path.parent != HERE]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out:
        terminalreporter.write_line(
            f"peers of the sign-in deselected: {' and '.join(MISSING)} not found; install Node."
        )
