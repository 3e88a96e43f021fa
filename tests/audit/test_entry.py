"""What is recorded of an access, and in which bytes."""

import hashlib
import json
import string
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import graphql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.entry import (
    SENSITIVITIES,
    Access,
    Outcome,
    Records,
    Selection,
    Task,
    bitmap,
    canonical,
    entry,
    leaf_hash,
    marked,
    recorded_entry,
    selection,
    uuid7,
)
from audit.keys import Keys, References, Vault

YEAR = References(b"y" * 32)
CONTRACT = Path(__file__).parents[1] / "contract" / "schema.graphql"

texts = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(string.printable)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        # The literals and the string of RFC 8785, 3.2.2.
        ({"literals": [None, True, False]}, '{"literals":[null,true,false]}'),
        ({"string": '€$\u000f\nA\'B"\\\\"/'}, '{"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'),
        # `structures.json`, `arrays.json` and `unicode.json` of the RFC's test data, whole numbers for 56.0.
        (
            {
                "1": {"f": {"f": "hi", "F": 5}, "\n": 56},
                "10": {},
                "": "empty",
                "a": {},
                "111": [{"e": "yes", "E": "no"}],
                "A": {},
            },
            '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}',
        ),
        ([56, {"d": True, "10": None, "1": []}], '[56,{"1":[],"10":null,"d":true}]'),
        ({"Unnormalized Unicode": "A\u030a"}, '{"Unnormalized Unicode":"A\u030a"}'),
        ([2**53 - 1, -(2**53) + 1], "[9007199254740991,-9007199254740991]"),
        ("\b\t\n\f\r\x00\x1f\x7f", '"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f"'),
    ],
)
def test_known_values_have_the_form_that_the_rfc_prints(value: object, spelled: str) -> None:
    assert canonical(value) == spelled.encode()


@pytest.mark.parametrize("value", [1.0, {"a": [0.5]}, 2**53, -(2**53), {"é": 1}, {1: 2}, "\ud800", b"x", {1, 2}])
def test_a_value_without_a_certain_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="canonical form"):
        canonical(value)


@given(plain)
def test_the_canonical_form_is_what_sorted_names_and_shortest_escapes_give(value: object) -> None:
    other = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    assert canonical(value) == other.encode()


@given(st.lists(st.text(string.ascii_letters + ".", min_size=1), unique=True), st.data())
def test_a_bitmap_gives_back_exactly_the_coordinates_that_went_in(coordinates: list[Any], data: st.DataObject) -> None:
    read = selection("5c", coordinates)
    seen = data.draw(st.sets(st.sampled_from(coordinates)) if coordinates else st.just(set()))

    bits = bitmap(read, seen)

    assert marked(read, bits) == seen
    assert len(bits) == 2 * ((len(coordinates) + 7) // 8)


@given(st.sets(st.text(string.ascii_letters, min_size=1), min_size=1, max_size=20), st.binary(max_size=4))
def test_bits_are_a_bitmap_only_if_they_lie_on_the_selection(coordinates: set[Any], stored: bytes) -> None:
    read = selection("5c", coordinates)
    try:
        seen = marked(read, stored.hex())
    except ValueError:
        return
    assert bitmap(read, seen) == stored.hex()


def test_a_coordinate_outside_the_selection_is_refused(access: Callable[..., Access]) -> None:
    with pytest.raises(ValueError, match=r"Vehicle\.plate is not in the selection"):
        entry(access(disclosed={"Vehicle.plate"}), uuid7(access().at), YEAR)


def test_a_selection_is_named_by_what_it_lists_and_not_by_how_it_was_listed() -> None:
    first, second = selection("5c", ["B.b", "A.a", "B.b"]), selection("5c", ["A.a", "B.b"])  # type: ignore[list-item]

    assert first == second
    assert first.id == hashlib.sha256(b'{"coordinates":["A.a","B.b"],"schema":"5c"}').hexdigest()
    assert first.id != selection("5d", first.coordinates).id
    assert first.leaf == bytes((1, 2)) + bytes(4) + bytes.fromhex(first.id)
    with pytest.raises(ValueError, match="sorted"):
        Selection("5c", first.coordinates[::-1])


def test_the_commitment_is_computed_as_the_specification_writes_it(access: Callable[..., Access]) -> None:
    made = entry(access(), uuid7(access().at), YEAR)

    person = hashlib.sha256(made.person_salt + made.person_part).digest()
    staff = hashlib.sha256(made.staff_salt + made.staff_part).digest()
    commitment = hashlib.sha256(b"onestop/access/1" + person + staff).digest()
    assert made.leaf == bytes((1, 1)) + (202603).to_bytes(4, "big") + commitment
    assert leaf_hash(made.leaf) == hashlib.sha256(b"\x00" + made.leaf).digest()


def test_two_entries_of_one_access_share_nothing_in_their_leaves(access: Callable[..., Access]) -> None:
    same_id = uuid7(access().at)

    first, second = (entry(access(), same_id, YEAR) for _ in range(2))

    assert first.person_part == second.person_part
    assert len({first.person_salt, first.staff_salt, second.person_salt, second.staff_salt}) == 4
    assert first.commitment != second.commitment


def test_the_persons_part_tells_neither_the_viewer_nor_any_key_of_a_record(access: Callable[..., Access]) -> None:
    told = access(reason="the reason", office="the office")

    part = entry(told, uuid7(told.at), YEAR).person_part.decode()

    for secret in ("viewer-heir", "the reason", "the office", "192.0.2.7", "jti-1", "1111010100100010000"):
        assert secret not in part
    assert "deceased-person" not in part
    assert YEAR.of("record:LAND", "1111010100100010000")[:16].hex() in part


def test_an_access_comes_back_as_it_was_recorded(access: Callable[..., Access]) -> None:
    told = access()
    made = entry(told, uuid7(told.at), YEAR)

    read = recorded_entry(made.person_part, made.staff_part, (made.person_salt, made.staff_salt), told.selection, YEAR)

    references = tuple(YEAR.of("record:LAND", key)[:16].hex() for key in told.records["LAND"].keys)
    assert read.access == replace(told, records={"LAND": Records(2, references)})
    assert replace(read, access=told) == made


def test_the_parts_of_two_entries_do_not_make_one(access: Callable[..., Access]) -> None:
    first, second = (entry(access(), uuid7(access().at), YEAR) for _ in range(2))

    with pytest.raises(ValueError, match="different entries"):
        recorded_entry(first.person_part, second.staff_part, (b"", b""), access().selection, YEAR)


def test_an_access_has_no_place_for_a_value() -> None:
    """Whoever adds a member decides here whether it could hold what was seen."""
    worded_or_redacted = {"reason", "variables"}
    named = {"task", "operation_name", "document_hash", "selection", "subject", "subject_role", "records", "answers"}
    coordinates = {"disclosed", "null", "withheld", "failed", "derived"}
    grounds = {"sensitivity", "purpose", "legal_basis", "case_id", "case_number", "organisation", "outcome"}
    grounds |= {"policy_ids", "policy_set_hash"}
    viewer = {"viewer", "roles", "office", "agency", "on_behalf_of", "session", "assurance", "client_id"}
    request = {"operation", "at", "source_address", "trace_id", "request_id", "visibility"}

    members = {member.name for member in fields(Access)}

    assert members == worded_or_redacted | named | coordinates | grounds | viewer | request


def test_an_access_at_no_certain_moment_or_of_unknown_sensitivity_is_refused(access: Callable[..., Access]) -> None:
    with pytest.raises(ValueError, match="aware"):
        access(at=access().at.replace(tzinfo=None))
    with pytest.raises(ValueError, match="GOSSIP"):
        access(sensitivity="GOSSIP")


def test_the_year_and_the_month_are_those_of_utc(access: Callable[..., Access]) -> None:
    new_year_in_seoul = datetime(2027, 1, 1, 8, 59, tzinfo=timezone(timedelta(hours=9)))

    assert access(at=new_year_in_seoul).year == 2026
    assert access(at=new_year_in_seoul).month == 202612


def test_a_uuid7_carries_its_millisecond_and_is_otherwise_random(access: Callable[..., Access]) -> None:
    at = access().at
    many = {uuid7(at) for _ in range(1000)}

    assert len(many) == 1000
    assert {one.version for one in many} == {7}
    assert {one.variant for one in many} == {"specified in RFC 4122"}
    assert {one.int >> 80 for one in many} == {int(at.timestamp() * 1000)}


def test_references_are_unrelated_between_years_kinds_and_logs() -> None:
    vault, other_log = Vault(b"m" * 32, "epoch"), Vault(b"n" * 32, "epoch")
    salts = (b"1" * 32, b"2" * 32)

    seen = {vault.references(salt).of(kind, "someone") for salt in salts for kind in ("person", "viewer")}

    assert len(seen) == 4
    assert other_log.references(salts[0]).of("person", "someone") not in seen
    assert vault.references(salts[0]).of("person", "someone") in seen


def test_a_master_key_of_another_length_is_refused_without_being_shown(keys: Keys) -> None:
    with pytest.raises(ValueError, match="has 5 bytes"):
        Keys(b"short", keys.signing)
    assert str(keys.master) not in repr(keys)


@pytest.mark.parametrize(
    ("name", "ours"),
    [("Sensitivity", list(SENSITIVITIES)), ("AccessTask", list(Task)), ("AccessOutcome", list(Outcome))],
)
def test_names_are_those_of_the_contract_in_its_order(name: str, ours: list[str]) -> None:
    contract = graphql.build_schema(CONTRACT.read_text())

    enum = contract.type_map[name]

    assert isinstance(enum, graphql.GraphQLEnumType)
    assert list(enum.values) == ours
