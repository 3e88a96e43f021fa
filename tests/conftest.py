"""Fixtures that several folders share."""

import strawberry  # noqa: F401 - takes over `threading.excepthook` when imported: first, so that pytest hears of threads

pytest_plugins = ["tests.postgres"]
