"""The peers need Node and npm, or Chromium. Where these are missing they are deselected, and the summary says so."""

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NEEDED = {
    "test_peers.py": ("node", "npm"),
    "test_foreign_issuer.py": ("node", "npm"),
    "test_chromium.py": ("chromium",),
}
MISSING = {name: tools for name, tools in NEEDED.items() if not all(map(shutil.which, tools))}
_left_out: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.path.parent == HERE and item.path.name in MISSING]
    if left_out:
        _left_out.extend(item.path.name for item in left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in dict.fromkeys(_left_out):
        terminalreporter.write_line(f"peers of the sign-in, {name} deselected: install {' and '.join(MISSING[name])}.")
