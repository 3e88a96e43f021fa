"""What leaves the log for other tools: events as OCSF publishes them, tables that say the same, and an own entry."""

import asyncio
import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import app
from audit.entry import Access, Outcome, Task
from audit.exporting import SCHEMA, csv_line
from audit.keys import Keys
from audit.writer import AccessLog
from auth.ids import SANDBOX_ROOT

OCSF = json.loads((Path(__file__).with_name("ocsf") / "api_activity.json").read_text("utf-8"))
KINDS = {"string_t": str, "integer_t": int, "long_t": int, "timestamp_t": int, "ip_t": str, "hostname_t": str}


def faults(value: Mapping[str, Any], type_: str, at: str = "") -> list[str]:
    """Where a value is not of a type of the published schema."""
    published = OCSF["types"].get(type_)
    if published is None:
        return []
    found = [f"{at}{name} is missing" for name in published["required"] if name not in value]
    if published["at_least_one"] and not set(published["at_least_one"]) & set(value):
        found.append(f"{at} has none of {published['at_least_one']}")
    for name, each in value.items():
        kind = published["attributes"].get(name)
        if kind is None:
            found.append(f"{at}{name} is not in the schema")
        elif kind.startswith("list of "):
            for n, one in enumerate(each):
                found += faults(one, kind.removeprefix("list of "), f"{at}{name}[{n}].")
        elif kind in KINDS:
            found += [] if isinstance(each, KINDS[kind]) else [f"{at}{name} is no {kind}"]
        elif isinstance(each, dict):
            found += faults(each, kind, f"{at}{name}.")
    return found


@pytest.fixture
def data(tmp_path: Path, keys: Keys, access: Callable[..., Access]) -> Path:
    """Give a data directory whose log has an entry of each task and outcome, one of them of a person apart."""
    master = hashlib.sha256(b"onestop/access-log/1" + SANDBOX_ROOT).digest()
    entries = [access(task=task) for task in Task] + [access(outcome=outcome) for outcome in Outcome]
    entries += [access(subject=None, viewer="=cmd()", source_address=None, operation_name=None, session=None)]
    entries += [access(subject="apart", reason='asked "twice",\nby 전화')]

    async def written() -> None:
        url = f"sqlite+aiosqlite:///{tmp_path}/access-log.db"
        async with AccessLog.open(url, Keys(master, keys.signing), lambda: datetime.now(UTC)) as log:
            await log.append(entries)

    asyncio.run(written())
    pem = keys.signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "access-log-key.pem").write_bytes(pem)
    return tmp_path


def said(data: Path, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app.main, ["log", *arguments, "--data", str(data)], env=environment)


def lines(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_events_have_all_that_the_published_schema_requires_and_nothing_it_does_not_know(data: Path) -> None:
    events = lines(said(data, "export", "--format", "ocsf"))
    assert len(events) == 12
    assert [faults(event, "api_activity") for event in events] == [[]] * 12
    assert {(event["category_uid"], event["class_uid"], event["type_uid"] - 600300) for event in events} == {
        (6, 6003, number) for number in (1, 2, 3)
    }
    assert {event["type_uid"] - 600300 == event["activity_id"] for event in events} == {True}
    first = events[0]
    assert (first["time"], first["metadata"]["version"]) == (1773500966535, "1.2.0")
    assert first["actor"]["user"]["uid"] == "viewer-heir"
    assert (first["src_endpoint"]["ip"], first["api"]["operation"]) == ("192.0.2.7", "Estate")
    assert [event["status_id"] for event in events[6:10]] == [1, 1, 2, 2]


def test_the_check_of_events_sees_what_is_missing_or_unknown(data: Path) -> None:
    event = lines(said(data, "export", "--format", "ocsf"))[0]
    del event["time"], event["metadata"]["product"]["vendor_name"], event["actor"]["user"]["uid"]
    event["api"]["colour"] = "red"
    assert len(faults(event, "api_activity")) == 4


def test_an_entry_that_was_erased_by_order_is_an_event_without_a_person(data: Path) -> None:
    said(data, "erase", "--person", "apart", "--year", "2026", "--order", "order 7")
    for form in ("ocsf", "csv", "jsonl", "parquet"):
        done = said(data, "export", "--format", form)
        assert (done.exit_code, b"twice" in done.stdout_bytes, b"192.0.2.7" in done.stdout_bytes) == (0, False, True)
    events = lines(said(data, "export", "--format", "ocsf"))
    assert (len(events), faults(events[-1], "api_activity"), events[-1]["activity_id"]) == (12, [], 0)


def test_csv_and_parquet_say_what_the_lines_say(data: Path) -> None:
    told = lines(said(data, "export"))
    sheet = list(csv.DictReader(io.StringIO(said(data, "export", "--format", "csv").stdout_bytes.decode(), newline="")))
    frame = pl.read_parquet(io.BytesIO(said(data, "export", "--format", "parquet").stdout_bytes))
    assert frame.schema == SCHEMA
    assert [row["id"] for row in sheet] == frame["id"].to_list() == [line["id"] for line in told]
    assert [row["reason"] for row in sheet] == [line["staff"]["reason"] or "" for line in told]
    assert frame["at"].to_list() == [datetime.fromisoformat(line["at"]) for line in told]
    assert frame["disclosed"].to_list() == [line["disclosed"] for line in told]
    assert [json.loads(value) for value in frame["records"]] == [line["records"] for line in told]
    assert sheet[10]["viewer"] == "'=cmd()"  # no spreadsheet runs it
    assert frame["viewer"][10] == "=cmd()"


def test_an_empty_export_is_a_table_without_rows(data: Path) -> None:
    assert said(data, "export", "--since", "99", "--format", "csv").stdout_bytes.decode() == csv_line(SCHEMA)
    parquet = said(data, "export", "--since", "99", "--format", "parquet").stdout_bytes
    assert pl.read_parquet(io.BytesIO(parquet)).schema == SCHEMA


@pytest.mark.parametrize("form", ["jsonl", "ocsf", "csv", "parquet"])
def test_an_export_with_a_reason_is_an_entry_which_it_does_not_show(data: Path, form: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = said(data, "export", "--format", form, "--since", "3", "--reason", "감사 요청 12", "--out", str(out))
    assert (done.exit_code, done.stdout) == (0, "")
    assert "감사 요청 12".encode() not in out.read_bytes()
    (own,) = lines(said(data, "export"))[12:]
    assert (own["task"], own["purpose"], own["staff"]["reason"]) == ("EXPORT", "LOG_REVIEW", "감사 요청 12")
    assert own["staff"]["viewer"].startswith("account:")
    assert own["staff"]["variables"] == {"format": form, "since": 3}
    assert said(data, "verify").exit_code == 0


def test_without_a_reason_the_sandbox_records_nothing(data: Path) -> None:
    assert said(data, "export").stdout_bytes == said(data, "export").stdout_bytes


def test_in_production_an_export_without_a_reason_is_an_entry_that_says_so(data: Path) -> None:
    production = {"ONESTOP_MODE": "production"}
    assert len(lines(said(data, "export", **production))) == 12
    assert lines(said(data, "export"))[12]["staff"]["reason"] == "none given"


def test_what_cannot_be_recorded_does_not_leave(data: Path) -> None:
    done = said(
        data,
        "export",
        "--reason",
        "audit",
        ONESTOP_LOG_URL="postgresql+asyncpg://nobody@127.0.0.1:1/none",
        ONESTOP_LOG_READ_URL=f"sqlite+aiosqlite:///{data}/access-log.db",
    )
    assert (done.exit_code, done.stdout) == (2, "")
    assert "cannot be recorded" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(("--reason", " "), "--reason: say why"), (("--format", "xml"), "--format"), (("--out", "/none/x"), "--out")],
)
def test_wrong_use_is_refused(data: Path, arguments: tuple[str, ...], why: str) -> None:
    done = said(data, "export", *arguments)
    assert (done.exit_code, done.stdout, why in done.stderr) == (2, "", True)


def test_without_a_log_nothing_is_made(tmp_path: Path) -> None:
    assert said(tmp_path, "export", "--reason", "audit").exit_code == 2
    assert list(tmp_path.iterdir()) == []
