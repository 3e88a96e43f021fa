"""The audits need Node and npm. Where they are missing they are deselected, and the summary says so."""

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
_left_out = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    global _left_out  # noqa: PLW0603 - told in the summary, which pytest asks for elsewhere
    audits = [item for item in items if item.path.parent == HERE]
    if MISSING and audits:
        _left_out = len(audits)
        config.hook.pytest_deselected(items=audits)
        items[:] = [item for item in items if item.path.parent != HERE]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out:
        terminalreporter.write_line(f"graphql-http audits deselected: {' and '.join(MISSING)} not found; install Node.")
