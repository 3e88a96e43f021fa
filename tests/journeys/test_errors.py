"""Wrong questions get an answer that says what is wrong, never a 500."""

import base64
import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.journeys.client import GRAPHQL, JSON, Asker, Onestop, Reply, sent
from tests.journeys.documents import LOG, OPEN_ESTATE, REQUEST, SECTIONS


def opened(onestop: Onestop, **given: Any) -> Reply:
    """What comes of an opening by `heir`."""
    return onestop.as_("heir").ask(OPEN_ESTATE, {"input": {"idempotencyKey": str(uuid.uuid4()), **given}})


def require_bad_input(reply: Reply) -> None:
    """The viewer is told, with a code, and no entry or data goes with it."""
    assert reply.status in {200, 400}
    assert reply.code == "BAD_INPUT"
    assert not any((reply.json.get("data") or {}).values())
    assert reply.errors[0]["message"]


# ---------------------------------------------------------------- documents


def test_a_misspelt_field_is_named_with_the_one_that_was_meant(onestop: Onestop) -> None:
    for accept, status in ((GRAPHQL, 400), (JSON, 200)):
        reply = onestop.as_("heir").ask("{ viewer { asurance } }", accept=accept)
        assert (reply.status, reply.code, "data" in reply.json) == (status, "BAD_INPUT", False)
        assert "'asurance'" in reply.errors[0]["message"]
        assert "'assurance'" in reply.errors[0]["message"]
        assert reply.headers["content-type"].startswith(accept)
        assert reply.entries == []


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ viewer { assurance ", {}),
        ("", {}),
        ("query($id: ID!) { estateCase(id: $id) { id } }", {}),
        ("query($id: ID!) { estateCase(id: $id) { id } }", {"id": {"a": 1}}),
        ("query($kind: CaseKind) { viewer { cases(kind: $kind) { id } } }", {"kind": "FUNERAL"}),
        ("{ viewer { cases(kind: FUNERAL) { id } } }", {}),
        ("query A { viewer { roles } } query B { viewer { roles } }", {}),
        ('subscription { caseUpdated(id: "x") { answer { agency } } }', {}),
    ],
    ids=[
        "syntax",
        "empty",
        "missing",
        "object for id",
        "enum variable",
        "enum literal",
        "which operation",
        "no stream",
    ],
)
def test_a_document_that_does_not_hold_is_refused(onestop: Onestop, query: str, variables: dict[str, Any]) -> None:
    reply = onestop.as_("heir").ask(query, variables)
    assert reply.status == 400
    assert {each["extensions"]["code"] for each in reply.errors} == {"BAD_INPUT"}
    assert "data" not in reply.json


def test_a_question_that_is_too_large_is_refused_before_it_is_validated(onestop: Onestop) -> None:
    query = "query($id: ID!) {" + "".join(f" a{n}: estateCase(id: $id) {{ id }}" for n in range(500)) + "}"
    reply = onestop.as_("heir").ask(query, {"id": "x"})
    assert (reply.status, reply.code) == (400, "TOO_COSTLY")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"not json", {}, 400),
        (b"[]", {}, 400),
        (b"{}", {}, 400),
        (b'{"query": 7}', {}, 400),
        (b'{"query": "{ viewer { roles } }"}', {"Content-Type": "text/plain"}, 415),
        (b"\xff\xfe", {}, 400),
        (b" " * 200_000, {}, 413),
    ],
)
def test_a_body_that_is_no_question_has_its_own_status(
    onestop: Onestop, body: bytes, headers: dict[str, str], status: int
) -> None:
    said = {"Authorization": f"Bearer {onestop.token('heir')}", "Accept": GRAPHQL, **headers}
    reply = sent("POST", f"{onestop.url}/graphql", body, said)
    assert (reply.status, reply.code) == (status, "BAD_INPUT")


# ---------------------------------------------------------------- tokens


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Header, claims and signature of a token."""
    head, claims, signature = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(each + "=" * (-len(each) % 4))) for each in (head, claims)]
    return read[0], read[1], signature


def forged(onestop: Onestop, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
    """A token in every respect like a real one, signed by a key of our own."""
    head, said, _ = parts_of(onestop.token("heir"))
    key = ECKey.generate_key("P-256")
    return jwt.encode({**head, **(header or {})}, {**said, **(claims or {})}, key, algorithms=["ES256"])


def test_without_a_token_nothing_is_asked(onestop: Onestop) -> None:
    reply = Asker(onestop, None).ask("{ viewer { roles } }")
    assert (reply.status, reply.code, "data" in reply.json) == (401, "UNAUTHENTICATED", False)
    metadata = f'resource_metadata="{onestop.url}/.well-known/oauth-protected-resource/graphql"'
    dpop = f'DPoP realm="onestop", algs="ES256 PS256 Ed25519", {metadata}'
    assert reply.headers["www-authenticate"] == f'{dpop}, Bearer realm="onestop", {metadata}'


@pytest.mark.parametrize("how", ["forged", "alg none", "changed", "expired", "other kid", "garbage", "empty", "long"])
def test_a_token_that_is_not_the_issuers_opens_nothing(onestop: Onestop, how: str) -> None:
    head, claims, signature = parts_of(onestop.token("heir"))
    tokens: dict[str, Callable[[], str]] = {
        "forged": lambda: forged(onestop),
        "alg none": lambda: f"{encoded({**head, 'alg': 'none'})}.{encoded(claims)}.",
        "changed": lambda: f"{encoded(head)}.{encoded({**claims, 'sub': 'a' * 26})}.{signature}",
        "expired": lambda: onestop.token_of_relative(claims["sub"], ago=timedelta(hours=2)),
        "other kid": lambda: forged(onestop, {"kid": "nobody-knows"}),
        "garbage": lambda: "abc.def.ghi",
        "empty": lambda: "",
        "long": lambda: "a" * 9000,
    }
    token = tokens[how]()
    reply = Asker(onestop, token).ask("{ viewer { roles } }")
    assert (reply.status, reply.code, "data" in reply.json) == (401, "UNAUTHENTICATED", False)
    assert reply.headers["www-authenticate"].startswith('Bearer realm="onestop", error="')
    assert not token or token not in reply.body.decode()
    assert reply.entries == []


def test_the_graph_itself_needs_no_token(onestop: Onestop) -> None:
    assert Asker(onestop, None).seen("{ __schema { queryType { name } } }") == {
        "__schema": {"queryType": {"name": "Query"}}
    }


# ---------------------------------------------------------------- openings


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_an_idempotency_key_has_one_to_two_hundred_characters(onestop: Onestop, key: str) -> None:
    (candidate,) = onestop.as_("heir").candidates()
    require_bad_input(opened(onestop, candidate=candidate["person"]["id"], idempotencyKey=key))


def test_a_key_stands_for_one_request(onestop: Onestop) -> None:
    asker = onestop.as_("parent-of-twins")
    first, other, *_ = asker.candidates()
    key = str(uuid.uuid4())
    case = asker.open_birth(key, candidate=first["person"]["id"])["case"]
    document = OPEN_ESTATE.replace("Estate", "Birth")
    reply = asker.ask(document, {"input": {"idempotencyKey": key, "candidate": other["person"]["id"]}})
    require_bad_input(reply)
    assert asker.open_birth(key, candidate=first["person"]["id"])["case"]["id"] == case["id"]
    reply = asker.ask(REQUEST, {"input": {"idempotencyKey": key, "case": case["id"], "agencies": ["LAND"]}})
    require_bad_input(reply)


def test_an_opening_names_a_candidate_or_a_person_and_not_both(onestop: Onestop) -> None:
    (candidate,) = onestop.as_("heir").candidates()
    deceased = {"name": "이정호", "birthDate": "1950-03-02"}
    require_bad_input(opened(onestop))
    require_bad_input(opened(onestop, candidate=candidate["person"]["id"], deceased=deceased))


@pytest.mark.parametrize(
    "wrong",
    [
        {"registrationNumber": "12"},
        {"registrationNumber": "500231-19000001"},
        {"registrationNumber": "５００２３１１９００００１"},
        {"registrationNumber": ""},
        {"birthDate": "1950-02-30"},
        {"birthDate": "yesterday"},
        {"birthDate": 19500302},
        {"name": ""},
        {"name": "가" * 101},
    ],
)
def test_particulars_that_cannot_be_are_refused(onestop: Onestop, wrong: dict[str, Any]) -> None:
    reply = opened(onestop, deceased={"name": "이정호", "birthDate": "1950-03-02", **wrong})
    require_bad_input(reply)
    number = str(wrong.get("registrationNumber") or "-")
    assert number == "-" or number not in reply.body.decode() or len(number) < 6


# ---------------------------------------------------------------- other arguments


@pytest.mark.parametrize("first", [0, -1, 101, 1000, 2**31 - 1])
def test_a_page_has_one_to_a_hundred_entries(onestop: Onestop, first: int) -> None:
    require_bad_input(onestop.as_("heir").ask(LOG, {"first": first}))


@pytest.mark.parametrize("after", ["", "nonsense", "AAAA", "한글"])
def test_a_cursor_is_one_that_was_given_out(onestop: Onestop, after: str) -> None:
    require_bad_input(onestop.as_("heir").ask(LOG, {"first": 5, "after": after}))


@pytest.mark.parametrize("where", [{"actor": "x"}, {"subject": "x"}, {"case": "x"}])
def test_a_filter_names_ones_own(onestop: Onestop, where: dict[str, str]) -> None:
    require_bad_input(onestop.as_("heir").ask(LOG, {"first": 5, "filter": where}))


@pytest.mark.parametrize("agencies", [[], ["REGISTRY"], ["WELFARE", "LAND"]])
def test_only_the_six_agencies_are_asked_again(onestop: Onestop, agencies: list[str]) -> None:
    asker = onestop.as_("heir")
    given = {"idempotencyKey": str(uuid.uuid4()), "case": asker.case(), "agencies": agencies}
    require_bad_input(asker.ask(REQUEST, {"input": given}))


def test_an_entry_that_does_not_exist_is_null(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    for entry_id in (str(uuid.uuid4()), "nonsense", ""):
        assert asker.seen("query($id: ID!) { accessEntry(id: $id) { id } }", id=entry_id) == {"accessEntry": None}


@pytest.mark.parametrize("agency", ["finance", "land"])
def test_a_callback_without_a_good_signature_is_not_taken(onestop: Onestop, agency: str) -> None:
    for signature in ("", "a..b", f"{encoded({'alg': 'none'})}..", f"{encoded({'alg': 'ES256', 'kid': 'x'})}..AAAA"):
        reply = sent("POST", f"{onestop.url}/callbacks/{agency}", b"{}", {"X-Signature": signature})
        assert reply.status == (401 if agency == "finance" else 404)


def test_the_request_is_named_in_the_answer(onestop: Onestop) -> None:
    name = str(uuid.uuid4())
    said = {"Authorization": f"Bearer {onestop.token('heir')}", "X-Request-Id": name}
    reply = sent("POST", f"{onestop.url}/graphql", {"query": SECTIONS, "variables": {"id": "x"}}, said)
    assert (reply.headers["x-request-id"], reply.headers["cache-control"]) == (name, "no-store")
