"""The desk of documents: reports on what is read, manifests of build tools, and whose approval counts."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from auth.dpop import ProofError, Shown, check, made
from auth.viewer import Viewer
from resolvers.documents import Limits, identified
from resolvers.trusted import State
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role
from serving.documents import Desk, DocumentError, Given, given, key_of
from tests.journeys.documents import BIRTH, ESTATE

NOW = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
OFFICER = Viewer(
    person=PersonId("a" * 26),
    client="cli",
    roles=frozenset({Role.PRIVACY_OFFICER}),
    assurance=Assurance.HIGH,
    signed_in_at=NOW,
    token_id="1",
    expires_at=NOW + timedelta(minutes=5),
)
SECOND = replace(OFFICER, person=PersonId("b" * 26))
LAND = "query Land($id: ID!) { estateCase(id: $id) { land { parcels { pnu } } } }"
LAND_MORE = "query Land($id: ID!) { estateCase(id: $id) { land { parcels { address assessedValue } } } }"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Desk.opened(f"sqlite+aiosqlite:///{tmp_path}/cases.db", Limits(), introspection=True) as opened:
        yield opened


async def reported(desk: Desk, text: str, purpose: str = "ESTATE_DISCOVERY") -> dict[str, Any]:
    (report,) = await desk.reports(text, "portal", purpose)
    assert report.lines()
    return report.json()


async def test_the_estate_question_reads_amounts_of_six_agencies_and_no_findings(desk: Desk) -> None:
    said = await reported(desk, ESTATE)
    assert (said["valid"], said["state"], said["approversNeeded"]) == (True, "PENDING", 1)
    assert set(said["agencies"]) == {"REGISTRY", "LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES"}
    assert "Deposit.balance" in said["coordinates"]["FINANCE"]["AMOUNT"]
    assert "Person.name" in said["coordinates"]["REGISTRY"]["IDENTITY"]
    assert not any("SPECIAL" in by_sensitivity for by_sensitivity in said["coordinates"].values())
    rows = {row["row"] for row in said["rows"]}
    assert {"D01", "D02", "D03", "D04", "D06", "D33", "D34", "D35", "D42"} <= rows
    assert rows.isdisjoint({"D05", "D23", "D24"})
    found, allowed = said["cost"]["fields"]
    assert 0 < found <= allowed == Limits().fields
    assert json.dumps(said)


async def test_the_birth_question_reads_findings_and_takes_two_officers(desk: Desk) -> None:
    said = await reported(desk, BIRTH, "BIRTH_BENEFITS")
    assert said["approversNeeded"] == 2
    assert "Screening.result" in said["coordinates"]["HEALTH"]["SPECIAL"]
    rows = {row["row"] for row in said["rows"]}
    assert {"D23", "D24"} <= rows
    assert rows.isdisjoint({"D01", "D03", "D05"})


async def test_a_document_that_is_not_valid_is_told_as_graphql_tells_it(desk: Desk) -> None:
    said = await reported(desk, "{ viewer { asurance } }")
    assert (said["valid"], said["errors"][0]["locations"]) == (False, [{"line": 1, "column": 12}])
    assert "'assurance'" in said["errors"][0]["message"]
    content = json.dumps({"1": LAND, "2": "{ viewer { asurance } }"})
    assert [each.document is None for each in await desk.register(content, "portal", "ESTATE_DISCOVERY", NOW)] == [
        False,
        True,
    ]
    assert await desk.listed(None) == []  # all of a manifest, or nothing
    with pytest.raises(DocumentError, match="ESTATE_DISCOVERY"):
        await desk.reports(LAND, "portal", "CURIOSITY")


HEX = hashlib.sha256(LAND.encode()).hexdigest()


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (LAND, [None]),
        ("{ viewer { roles } }", [None]),
        (json.dumps({HEX: LAND}), [HEX]),
        (json.dumps({f"sha256:{HEX}": LAND}), [f"sha256:{HEX}"]),
        (json.dumps({hashlib.sha1(LAND.encode(), usedforsecurity=False).hexdigest(): LAND, "b": BIRTH}), [40, "b"]),
        (json.dumps({"format": "apollo-persisted-query-manifest", "version": 1,
                     "operations": [{"id": HEX, "name": "Land", "type": "query", "body": LAND}]}), [HEX]),
        (json.dumps({"operations": {HEX: {"name": "Land", "type": "query", "body": LAND}}}), [HEX]),
    ],
)  # fmt: skip
def test_files_of_build_tools_are_read(content: str, ids: list[Any]) -> None:
    found = given(content)
    assert [
        len(each.id or "") if isinstance(id_, int) else each.id for each, id_ in zip(found, ids, strict=True)
    ] == ids
    assert found[0].text in {LAND, content}


@pytest.mark.parametrize("content", [{}, {HEX: LAND + " "}, {"a": 7}, {"operations": [{"id": "a"}]}])
def test_a_manifest_that_does_not_hold_is_refused(content: Any) -> None:
    with pytest.raises(DocumentError):
        given(json.dumps(content))


async def test_only_a_privacy_officer_who_signed_in_strongly_approves(desk: Desk) -> None:
    await desk.register(LAND, "portal", "ESTATE_DISCOVERY", NOW)
    hash_ = identified(LAND)
    for wrong in (
        replace(OFFICER, roles=frozenset({Role.OFFICIAL, Role.AUDITOR})),
        replace(OFFICER, assurance=Assurance.SUBSTANTIAL),
        replace(OFFICER, on_behalf_of=PersonId("c" * 26)),
    ):
        with pytest.raises(DocumentError, match=r"officer|assurance"):
            await desk.approve(hash_, "portal", None, wrong, NOW)
    for client, named in (("other", hash_), ("portal", "sha256:" + "0" * 64), ("portal", "no hash")):
        with pytest.raises(DocumentError):
            await desk.approve(named, client, None, OFFICER, NOW)
    its, stands = await desk.approve(hash_.removeprefix("sha256:"), "portal", None, OFFICER, NOW)
    assert (its.hash, stands.state, stands.approvers) == (hash_, State.APPROVED, (OFFICER.person,))


async def test_findings_take_two_different_officers(desk: Desk) -> None:
    await desk.register(BIRTH, "portal", "BIRTH_BENEFITS", NOW)
    states = [
        (await desk.approve(identified(BIRTH), "portal", None, officer, NOW))[1].state
        for officer in (OFFICER, OFFICER, SECOND)
    ]
    assert states == [State.PENDING, State.PENDING, State.APPROVED]


async def test_an_approval_is_for_one_purpose(desk: Desk) -> None:
    for purpose in ("ESTATE_DISCOVERY", "ESTATE_SETTLEMENT"):
        await desk.register(LAND, "portal", purpose, NOW)
    with pytest.raises(DocumentError, match="--purpose"):
        await desk.approve(identified(LAND), "portal", None, OFFICER, NOW)
    await desk.approve(identified(LAND), "portal", "ESTATE_DISCOVERY", OFFICER, NOW)
    assert {each.json()["purpose"]: each.json()["state"] for each in await desk.listed("portal")} == {
        "ESTATE_DISCOVERY": "APPROVED",
        "ESTATE_SETTLEMENT": "PENDING",
    }


async def test_a_new_version_is_told_apart_from_the_one_approved_before(desk: Desk) -> None:
    await desk.register(LAND, "portal", "ESTATE_DISCOVERY", NOW)
    assert (await reported(desk, LAND_MORE))["difference"] is None
    await desk.approve(identified(LAND), "portal", None, OFFICER, NOW)
    said = (await reported(desk, LAND_MORE))["difference"]
    assert (said["before"], said["added"], said["removed"], said["moreSensitive"]) == (
        identified(LAND),
        ["LandParcel.address", "LandParcel.assessedValue"],
        ["LandParcel.pnu"],
        [],
    )


async def test_a_revoked_document_says_why_and_may_be_approved_again(desk: Desk) -> None:
    await desk.register(LAND, "portal", "ESTATE_DISCOVERY", NOW)
    assert await desk.revoke(identified(LAND), "portal", "wrong page", "account:kim", NOW) == 0
    await desk.approve(identified(LAND), "portal", None, OFFICER, NOW)
    assert await desk.revoke(identified(LAND), "portal", "wrong page", "account:kim", NOW) == 1
    (listed,) = await desk.listed(None)
    assert (listed.standing.state, listed.standing.reason) == (State.REVOKED, "wrong page")
    assert "wrong page" in "".join(listed.lines())
    _, stands = await desk.approve(identified(LAND), "portal", None, OFFICER, NOW)
    assert stands.state is State.APPROVED


async def test_the_history_says_who_approved_and_who_ended_it(desk: Desk) -> None:
    await desk.register(LAND, "portal", "ESTATE_DISCOVERY", NOW)
    await desk.approve(identified(LAND), "portal", None, OFFICER, NOW)
    await desk.revoke(identified(LAND), "portal", "wrong page", SECOND.person, NOW + timedelta(minutes=1))
    await desk.approve(identified(LAND), "portal", None, OFFICER, NOW + timedelta(minutes=2))
    told = [(each["event"], each["actor"], each["reason"]) for each in await desk.history("portal")]
    assert told == [
        ("APPROVED", OFFICER.person, None),
        ("ENDED", SECOND.person, "wrong page"),
        ("APPROVED", OFFICER.person, None),
    ]
    assert await desk.history("another") == []


@pytest.mark.parametrize("kind", ["P-256", "Ed25519", "PEM", "RSA"])
def test_a_key_file_proves_possession_and_a_public_one_does_not(kind: str) -> None:
    made_: Any = {
        "P-256": lambda: ECKey.generate_key("P-256"),
        "PEM": lambda: ECKey.generate_key("P-256"),
        "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
        "RSA": lambda: RSAKey.generate_key(2048),
    }[kind]()
    file = made_.as_pem(private=True) if kind == "PEM" else json.dumps(made_.as_dict(private=True)).encode()
    key, taken = key_of(file), []

    async def once(hash_: str, _until: datetime, _now: datetime) -> bool:
        taken.append(hash_)
        return True

    shown = Shown(
        made(key, "token", "POST", "https://onestop.test/graphql", NOW), "POST", "https://onestop.test/graphql"
    )
    asyncio.run(check(shown, "token", made_.thumbprint(), once, NOW))
    assert len(taken) == 1
    with pytest.raises(ProofError):
        asyncio.run(check(shown, "another", made_.thumbprint(), once, NOW))
    for wrong in (json.dumps(made_.as_dict(private=False)).encode(), b"{}", b"[", b"no key", b""):
        with pytest.raises(DocumentError):
            key_of(wrong)


def test_a_single_document_is_given_as_it_is() -> None:
    assert given(f"{LAND}\n") == [Given(f"{LAND}\n")]
