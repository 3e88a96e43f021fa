"""What goes wrong with generic top-level names, and whether the wheel is the whole program."""

import os
import signal
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
TOP_LEVEL = {name.removesuffix(".py") for name in SHIPPED}


def test_every_package_of_ours_is_shipped_and_nothing_else_is_named() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"app"}
    assert packages == TOP_LEVEL


def test_no_other_distribution_owns_one_of_our_generic_names() -> None:
    owners = packages_distributions()
    others = {name: set(owners.get(name, ())) - {"onestop"} for name in TOP_LEVEL}
    assert not {name: found for name, found in others.items() if found}


def test_our_names_are_imported_from_here() -> None:
    lines = "\n".join(f"import {name}; print({name}.__file__)" for name in sorted(TOP_LEVEL))
    found = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, cwd="/")
    assert all(Path(line).is_relative_to(ROOT) for line in found.stdout.splitlines())


def test_only_the_command_imports_app() -> None:
    files = [path for name in TOP_LEVEL - {"app"} for path in (ROOT / name).rglob("*.py")]
    assert len(files) > 50
    lines = [(path, line) for path in files for line in path.read_text().splitlines()]
    assert not [path for path, line in lines if line.startswith(("import app", "from app"))]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_file_of_every_package(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {str(path.relative_to(ROOT)) for name in SHIPPED for path in (ROOT / name).rglob("*") if path.is_file()}
    files = {file for file in files if "__pycache__" not in file}
    assert len(files) > 80
    assert files <= held


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and what it asks for, in the locked versions, and nothing else."""
    where = tmp_path_factory.mktemp("installed")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", str(where / "venv")], check=True)
    locked = subprocess.run(
        [*uv, "pip", "install", "-q", "--python", str(where / "venv"), "-c", str(_constraints(where)), str(wheel)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert locked.returncode == 0, locked.stderr
    return where / "venv" / "bin" / "onestop"


def _constraints(where: Path) -> Path:
    """The lock without its hashes, which a constraint may not have beside a local wheel; for which Python stays."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    versions = [line.removesuffix("\\") for line in lines if line and line[0] not in " #"]
    file = where / "constraints.txt"
    file.write_text("\n".join(versions))
    return file


@pytest.fixture
def served(installed: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESTOP_")}
    with subprocess.Popen(
        [str(installed), "serve", "--port", "0"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline()
        finally:
            child.kill()


def test_the_installed_wheel_starts_and_ends_when_told(served: tuple[subprocess.Popen[str], str]) -> None:
    child, line = served
    assert line.startswith("READY http://127.0.0.1:")
    with urllib.request.urlopen(line.split()[1] + "/readyz") as answer:
        assert answer.status == 200
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=15) == 0
