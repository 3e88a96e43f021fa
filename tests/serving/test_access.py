"""The policies over AuthZEN: who may ask, what is answered, and that nothing that is sent breaks it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request

from auth.policy import Policies
from auth.token import UnauthenticatedError
from auth.viewer import Viewer
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role
from serving.access import EVALUATION, EVALUATIONS, MOST, Access

NOW = datetime(2026, 3, 14, tzinfo=UTC)
ALARMS: list[str] = []


async def whose(request: Request) -> Viewer:
    """The token is the name of a role."""
    said = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not said:
        raise UnauthenticatedError("Send an access token.", error=None)
    roles = frozenset({Role[said]})
    return Viewer(PersonId("a" * 26), "c", roles, Assurance.HIGH, NOW, "t", NOW + timedelta(minutes=5))


APP = Starlette(routes=Access(Policies(ALARMS.append), whose, "https://onestop.test").routes())


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: Any


async def ask(
    path: str, question: Any = None, role: str = "PRIVACY_OFFICER", method: str = "POST", **headers: str
) -> Answered:
    raw = question if isinstance(question, bytes) else json.dumps(question).encode()
    sent = {"content_type": "application/json", "host": "test"} | headers
    sent |= {"authorization": f"Bearer {role}"} if role else {}
    got: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        got.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
    }
    await APP(scope, receive, send)
    seen = {name.decode(): value.decode() for name, value in got[0]["headers"]}
    content = b"".join(each["body"] for each in got[1:])
    return Answered(got[0]["status"], seen, json.loads(content) if "json" in seen.get("content-type", "") else content)


HEIR = {
    "role": "HEIR",
    "purpose": "ESTATE_DISCOVERY",
    "assurance": 3,
    "fresh": True,
    "mandate_active": True,
    "opened_in_time": True,
    "rank": 1,
    "sandbox": True,
}
BALANCE = {"agency": "FINANCE", "sensitivity": 4, "about": "PERSON"}


def asking(facts: Mapping[str, Any] = HEIR, **changed: Any) -> dict[str, Any]:
    return {"type": "Asking", "id": "whoever", "properties": {**facts, **changed}}


def data(**changed: Any) -> dict[str, Any]:
    return {"type": "Data", "id": "whatever", "properties": BALANCE | changed}


def question(**changed: Any) -> dict[str, Any]:
    return {"subject": asking(), "action": {"name": "read"}, "resource": data()} | changed


async def test_a_permit_names_the_policy_that_permits() -> None:
    answered = await ask(EVALUATION, question())
    assert answered.status == 200
    assert answered.body["decision"] is True
    assert answered.body["context"]["refusal"] is None
    [reason] = answered.body["context"]["reasons"]
    assert (reason["id"], reason["row"]) == ("estate-rank-1-amounts", "D03")
    assert reason["legal_basis"] == "Civil Act 1005 and 1019"


@pytest.mark.parametrize(
    ("changed", "rows", "refusal"),
    [
        ({"fresh": False}, [], "STEP_UP_REQUIRED"),
        ({"dispute": True}, ["D34"], "DISPUTED"),
        ({"renounced": True}, ["D35"], "NOT_ACCESSIBLE"),
        ({"sandbox": False}, ["D41"], "STEP_UP_REQUIRED"),
        ({"role": "OFFICIAL"}, ["D20", "D21"], "NOT_ACCESSIBLE"),
        ({"opened_in_time": False}, [], "OUT_OF_TIME"),
    ],
)
async def test_a_denial_says_what_the_viewer_would_be_told(
    changed: dict[str, Any], rows: list[str], refusal: str
) -> None:
    said = (await ask(EVALUATION, question(subject=asking(**changed)))).body
    assert said["decision"] is False
    assert sorted(reason["row"] for reason in said["context"]["reasons"]) == rows
    assert said["context"]["refusal"] == refusal


async def test_whole_names_are_for_executors_and_the_log_is_for_the_person() -> None:
    heir = (await ask(EVALUATION, question(action={"name": "read_name"}))).body
    assert (heir["decision"], heir["context"]["refusal"]) == (False, "THIRD_PARTY")
    facts = HEIR | {"role": "EXECUTOR", "purpose": "ESTATE_SETTLEMENT", "appointed": True}
    executor = await ask(EVALUATION, question(subject=asking(facts), action={"name": "read_name"}))
    assert executor.body["decision"] is True
    own = question(
        subject=asking({"role": "SELF", "purpose": "SUBJECT_ACCESS", "assurance": 2, "fresh": False}),
        action={"name": "read_log"},
        resource={"type": "Log", "id": "", "properties": {"about_self": True}},
    )
    assert (await ask(EVALUATION, own)).body["decision"] is True


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
async def test_only_privacy_officers_ask(path: str) -> None:
    for role in Role:
        expected = 200 if role is Role.PRIVACY_OFFICER else 403
        assert (await ask(path, question(), role.name)).status == expected
    nobody = await ask(path, question(), "")
    assert nobody.status == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")


async def test_several_share_what_they_do_not_say_themselves() -> None:
    several = question(
        evaluations=[{}, {"resource": data(agency="HEALTH", sensitivity=5)}, {"subject": asking(rank=4)}]
    )
    answered = await ask(EVALUATIONS, several)
    assert [each["decision"] for each in answered.body["evaluations"]] == [True, False, False]
    assert answered.body["evaluations"][1]["context"]["refusal"] == "SPECIAL_CATEGORY"


@pytest.mark.parametrize(
    ("semantic", "decided"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
async def test_options_say_when_to_stop(semantic: str, decided: list[bool]) -> None:
    several = question(
        evaluations=[{}, {"subject": asking(fresh=False)}, {}], options={"evaluations_semantic": semantic}
    )
    answered = await ask(EVALUATIONS, several)
    assert [each["decision"] for each in answered.body["evaluations"]] == decided


async def test_no_evaluations_are_one() -> None:
    for several in (question(), question(evaluations=[])):
        assert (await ask(EVALUATIONS, several)).body == (await ask(EVALUATION, question())).body


@pytest.mark.parametrize(
    ("path", "wrong", "field"),
    [
        (EVALUATION, [], ""),
        (EVALUATION, b"{", ""),
        (EVALUATION, b"[" * 100_000, ""),
        (EVALUATION, {}, "subject"),
        (EVALUATION, question(subject=None), "subject"),
        (EVALUATION, question(subject={"type": "user", "id": "1"}), "subject.type"),
        (EVALUATION, question(subject={"type": "Asking"}), "subject.id"),
        (EVALUATION, question(subject={"type": "Asking", "id": "1", "properties": []}), "subject.properties"),
        (EVALUATION, question(subject={"type": "Asking", "id": "1"}), "subject.properties.role"),
        (EVALUATION, question(subject=asking(role="KING")), "subject.properties.role"),
        (EVALUATION, question(subject=asking(purpose=["ESTATE_DISCOVERY"])), "subject.properties.purpose"),
        (EVALUATION, question(subject=asking(rank="1")), "subject.properties.rank"),
        (EVALUATION, question(subject=asking(rank=True)), "subject.properties.rank"),
        (EVALUATION, question(subject=asking(rank=2**70)), "subject.properties.rank"),
        (EVALUATION, question(subject=asking(fresh=1)), "subject.properties.fresh"),
        (EVALUATION, question(subject=asking(order_agencies=["MOON"])), "subject.properties.order_agencies"),
        (EVALUATION, question(subject=asking(order_agencies=[{}])), "subject.properties.order_agencies"),
        (EVALUATION, question(subject=asking(colour="red")), "subject.properties.colour"),
        (EVALUATION, question(resource=data(sensitivity=6)), "resource.properties.sensitivity"),
        (EVALUATION, question(resource=data(agency=None)), "resource.properties.agency"),
        (EVALUATION, question(resource=data(whose="mine")), "resource.properties.whose"),
        (EVALUATION, question(action={"name": "read_log"}), "action.name"),
        (EVALUATION, question(action={"name": {}}), "action.name"),
        (EVALUATION, question(context=1), "context"),
        (EVALUATIONS, question(evaluations={}), "evaluations"),
        (EVALUATIONS, question(evaluations=[{}] * (MOST + 1)), "evaluations"),
        (EVALUATIONS, question(evaluations=[{}, 1]), "evaluations[1]"),
        (
            EVALUATIONS,
            question(evaluations=[{"resource": data(about="MOON")}]),
            "evaluations[0].resource.properties.about",
        ),
        (EVALUATIONS, question(evaluations=[{}], options={"evaluations_semantic": []}), "options.evaluations_semantic"),
    ],
)
async def test_what_is_wrong_is_named(path: str, wrong: Any, field: str) -> None:
    answered = await ask(path, wrong)
    assert (answered.status, answered.body["code"], answered.body["field"]) == (400, "BAD_INPUT", field)


async def test_other_content_and_too_much_of_it_are_refused() -> None:
    assert (await ask(EVALUATION, question(), content_type="text/plain")).status == 400
    assert (await ask(EVALUATION, b'{"a": "' + b"a" * 300_000 + b'"}')).status == 400
    assert (await ask(EVALUATION, method="GET")).status == 405


async def test_a_request_id_comes_back() -> None:
    said = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    assert (await ask(EVALUATION, question(), x_request_id=said)).headers["x-request-id"] == said
    assert "x-request-id" not in (await ask(EVALUATION, question(), x_request_id="1")).headers


async def test_the_configuration_says_where_to_ask() -> None:
    answered = await ask("/.well-known/authzen-configuration", role="", method="GET")
    assert answered.body == {
        "policy_decision_point": "https://onestop.test",
        "access_evaluation_endpoint": "https://onestop.test/access/v1/evaluation",
        "access_evaluations_endpoint": "https://onestop.test/access/v1/evaluations",
    }


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["HEIR", "read", "Log"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(sorted(HEIR)), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = st.sampled_from([
    ("subject",), ("subject", "properties"), ("subject", "properties", "rank"), ("subject", "properties", "role"),
    ("subject", "properties", "break_glass_agencies"), ("action",), ("action", "name"), ("resource",),
    ("resource", "type"), ("resource", "properties"), ("resource", "properties", "about"), ("context",),
    ("evaluations",), ("options",), ("options", "evaluations_semantic"),
])  # fmt: skip


@settings(max_examples=300, derandomize=True, deadline=None)
@given(path=st.sampled_from([EVALUATION, EVALUATIONS]), place=PLACES, junk=JUNK)
async def test_whatever_is_sent_is_decided_or_refused_and_no_policy_errs(
    path: str, place: tuple[str, ...], junk: Any
) -> None:
    asked = json.loads(json.dumps(question(options={}, evaluations=[{}])))
    within = asked
    for name in place[:-1]:
        within = within[name]
    within[place[-1]] = junk
    answered = await ask(path, asked)
    assert answered.status in {200, 400}
    assert ALARMS == []
    if answered.status == 400:
        assert answered.body.keys() == {"code", "field", "message"}
