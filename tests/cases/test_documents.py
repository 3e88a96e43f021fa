"""Documents and approvals in the database: approved once an officer, ended with a reason, never erased."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from cases.documents import Approval, Registered
from cases.store import Cases
from schema.case import Purpose
from schema.identifiers import PersonId

NOW = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
HASH = "sha256:" + "a" * 64
DOCUMENT = Registered("portal", HASH, Purpose.ESTATE_DISCOVERY, "Estate", "{ a }", NOW)


def approval(officer: str, hours: int = 0) -> Approval:
    at = NOW + timedelta(hours=hours)
    return Approval("portal", HASH, Purpose.ESTATE_DISCOVERY, PersonId(officer), "5c" * 32, "{}", at)


async def test_a_document_is_registered_once_and_known_by_its_hash(cases: Cases) -> None:
    store = cases.documents
    assert await store.text(HASH) is None
    for _ in range(2):
        await store.register(DOCUMENT)
    assert await store.registered() == [DOCUMENT]
    assert await store.registered("other") == []
    assert await store.text(HASH) == "{ a }"


async def test_what_is_not_registered_is_not_approved(cases: Cases) -> None:
    with pytest.raises(IntegrityError):
        await cases.documents.approve(approval("a"))


async def test_approvals_are_ended_and_kept(cases: Cases) -> None:
    store = cases.documents
    await store.register(DOCUMENT)
    for given in (approval("a"), approval("b", 1), approval("a", 2)):
        await store.approve(given)
    assert [(each.approver, each.ended_because) for each in await store.approvals("portal", HASH)] == [
        ("a", "approved again"),
        ("b", None),
        ("a", None),
    ]
    assert await store.approvals("other", HASH) == []
    assert sorted(await store.revoke("portal", HASH, "too much", "account:kim", NOW)) == ["a", "b"]
    assert list(await store.revoke("portal", HASH, "too much", "account:kim", NOW)) == []
    assert [each.ended_because for each in await store.approvals("portal", HASH)] == [
        "approved again",
        "too much",
        "too much",
    ]
    assert [each.ended_by for each in await store.approvals("portal", HASH)] == ["a", "account:kim", "account:kim"]


@pytest.mark.parametrize(
    "deed",
    [
        "update trusted_document_approval set ended_by = 'somebody else'",
        "update trusted_document_approval set approver = 'somebody else'",
        "delete from trusted_document_approval",
    ],
)
async def test_an_approval_once_ended_stays_as_it_is(cases: Cases, deed: str) -> None:
    await cases.documents.register(DOCUMENT)
    await cases.documents.approve(approval("a"))
    await cases.documents.revoke("portal", HASH, "too much", "account:kim", NOW)
    with pytest.raises(IntegrityError):
        async with cases._engine.begin() as connection:
            await connection.execute(text(deed))
