"""Which sandboxes of this user are running, so that `onestop token` finds the one it signs for.

One small file a process, in a directory that only this user can read; it holds addresses and where the signing key
lies, and no secret.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that serves. `directory` holds its state; `url` is None while only agencies are served.

    `controls` has, by agency, where faults are set (docs/wire/README.md).
    """

    pid: int
    directory: str
    issuer: str
    audience: str
    url: str | None = None
    controls: Mapping[str, str] = field(default_factory=dict)


def _folder() -> Path:
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"onestop-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


@contextmanager
def announced(running: Running) -> Iterator[None]:
    """Let others find this sandbox while the block runs."""
    file = _folder() / f"{running.pid}.json"
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(running)))
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def newest(directory: Path | None = None) -> Running | None:
    """The running sandbox with this state directory, or else the one started last; None when there is none."""
    found: list[tuple[float, Running]] = []
    for file in _folder().glob("*.json"):
        try:
            running = Running(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        if not _is_alive(running.pid):
            file.unlink(missing_ok=True)
        elif directory is None or Path(running.directory) == directory.resolve():
            found.append((file.stat().st_mtime, running))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
