"""The owner's commands say what they did, and why they would not."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import app
from audit.checkpoint import VerifierKey, signed_text
from audit.entry import Access
from audit.keys import Keys
from audit.writer import AccessLog
from auth.ids import SANDBOX_ROOT


@pytest.fixture
def data(tmp_path: Path, keys: Keys, access: Callable[..., Access]) -> Path:
    """Give a data directory whose log has an entry of 2015 and one of 2016."""
    master = hashlib.sha256(b"onestop/access-log/1" + SANDBOX_ROOT).digest()

    async def written() -> None:
        url = f"sqlite+aiosqlite:///{tmp_path}/access-log.db"
        async with AccessLog.open(url, Keys(master, keys.signing), lambda: datetime.now(UTC)) as log:
            await log.append([access(at=datetime(year, 1, 1, tzinfo=UTC)) for year in (2015, 2016)])

    asyncio.run(written())
    return tmp_path


def said(data: Path, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app.main, ["log", *arguments, "--data", str(data)], env=environment)


def test_months_are_dropped_keys_destroyed_and_the_log_verified(data: Path) -> None:
    order = ("--order", "court order 7")
    assert said(data, "erase", "--person", "deceased-person", "--year", "2016", *order).output == "Destroyed 1 key.\n"
    assert said(data, "unlink", "--year", "2016", *order).output == "2016 is unlinked.\n"
    assert said(data, "verify").exit_code == 0
    assert said(data, "retain", "--years", "5").output == "Dropped 2015-01.\nDropped 2016-01.\n"
    assert said(data, "retain").output == "Nothing is older than 60 months.\n"
    assert said(data, "verify").exit_code == 0
    assert said(data, "export").output == ""


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (("retain", "--years", "1"), 1, "at least 24 months"),
        (("erase", "--person", "stranger", "--year", "2016", "--order", "x"), 1, "nothing readable of this person"),
        (("erase", "--person", "deceased-person", "--year", "1999", "--order", "x"), 1, "no key of 1999"),
        (("erase", "--person", "deceased-person", "--year", "2016", "--order", " "), 1, "name the order"),
        (("erase", "--person", "deceased-person", "--year", "2016"), 2, "--order"),
        (("unlink", "--year", "2999", "--order", "x"), 1, "2999 is not over"),
    ],
)
def test_what_may_not_be_done_is_refused_with_its_reason(
    data: Path, arguments: tuple[str, ...], status: int, why: str
) -> None:
    done = said(data, *arguments)
    assert (done.exit_code, why in done.output) == (status, True)


def test_less_than_two_years_cannot_be_set(data: Path) -> None:
    done = said(data, "retain", ONESTOP_LOG_RETENTION_MONTHS="23")
    assert done.exit_code == 2
    assert "ONESTOP_LOG_RETENTION_MONTHS: use a whole number from 24 to 1200" in done.output


def test_without_a_log_nothing_is_made(tmp_path: Path) -> None:
    assert said(tmp_path, "retain").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_made_by_its_owner_and_again_without_harm(tmp_path: Path) -> None:
    for _ in range(2):
        assert said(tmp_path, "init").output == "The access log is at the current schema.\n"
    assert said(tmp_path, "verify").exit_code == 0


def test_the_logs_key_is_given_up_for_another_and_all_of_it_verified(data: Path, keys: Keys) -> None:
    old, new = data / "old.pem", data / "new.pem"
    pem = keys.signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    old.write_bytes(pem)
    before, after = ({"ONESTOP_LOG_SIGNING_KEY_FILE": str(each)} for each in (old, new))
    assert said(data, "checkpoint", "--out", str(data / "then.note"), **before).exit_code == 0
    was = said(data, "key", **before).output.strip()

    done = said(data, "rotate-key", "--new-key", str(new), **before)
    assert (done.exit_code, was in done.output, new.stat().st_mode & 0o777) == (0, True, 0o600)
    for refused in (["checkpoint"], ["key"], ["rotate-key", "--new-key", str(data / "newer.pem")]):
        done_with = said(data, *refused, **before)
        assert (done_with.exit_code, "gave this key up" in done_with.output) == (1, True)

    assert said(data, "checkpoint", "--out", str(data / "now.note"), **after).exit_code == 0
    now = said(data, "key", **after).output.strip()
    assert now in done.output
    told = said(data, "key", "--history", **after).output
    assert signed_text(told, VerifierKey.parsed(was)) == signed_text(told, VerifierKey.parsed(now))
    store = ("--store", f"sqlite+aiosqlite:///{data}/access-log.db")
    for key in (was, now):
        for note in ("then.note", "now.note"):
            # Nothing but one public key and a note: a stranger's machine has no key file of the log.
            checked = said(data, "verify", *store, "--checkpoint", str(data / note), "--key", key)
            assert (checked.exit_code, checked.output[:6]) == (0, "Intact")
    assert said(data, "verify", **after).exit_code == 0


def test_what_is_no_key_takes_nothing_over(data: Path, keys: Keys) -> None:
    old, none = data / "old.pem", data / "none.pem"
    old.write_bytes(keys.signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    none.write_bytes(b"nothing to see here")
    before = {"ONESTOP_LOG_SIGNING_KEY_FILE": str(old)}
    done = said(data, "rotate-key", "--new-key", str(none), **before)
    assert (done.exit_code, "Ed25519 private key as PEM" in done.output) == (2, True)
    done = said(data, "rotate-key", "--new-key", str(old), **before)
    assert (done.exit_code, "went back to a key" in done.output) == (1, True)
    assert said(data, "key", "--history", **before).output == ""
