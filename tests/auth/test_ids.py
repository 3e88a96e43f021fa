"""Sector identifiers and opaque ids: shape, separation, and that nothing but the very id opens."""

import re
import secrets
import string
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth.ids import SANDBOX_ROOT, Ids
from sandbox import identifiers
from sandbox.facts import Subject
from schema.disclosure import Agency
from schema.identifiers import PersonId

IDS = Ids(SANDBOX_ROOT)
PERSON = PersonId(identifiers.persona_subject("heir"))
SEALED_ALPHABET = string.ascii_letters + string.digits + "-_"

base32 = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26).map(PersonId)
part = st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]), max_size=40)
parts = st.lists(part, max_size=3).map(lambda more: ["ESTATE", *more])


@pytest.mark.parametrize("agency", list(Agency))
def test_a_sector_id_names_its_agency_and_has_128_bits(agency: Agency) -> None:
    assert re.fullmatch(r"[a-z]{3}1_[a-z2-7]{26}", IDS.sector_id(agency, PERSON))


def test_no_two_agencies_share_a_prefix_or_what_follows_it() -> None:
    made = [IDS.sector_id(agency, PERSON).split("_") for agency in Agency]
    assert len({prefix for prefix, _ in made}) == len({rest for _, rest in made}) == len(Agency)


@settings(max_examples=50, derandomize=True)
@given(base32)
def test_the_house_and_the_sandbox_call_everybody_alike(person: PersonId) -> None:
    for agency in Agency:
        assert IDS.sector_id(agency, person) == identifiers.sector_id(agency.name, Subject(person))
        assert IDS.sector(agency)(person) == IDS.sector_id(agency, person)


def test_another_root_gives_other_names_and_opens_nothing() -> None:
    other = Ids(secrets.token_bytes(32))
    assert other.sector_id(Agency.LAND, PERSON) != IDS.sector_id(Agency.LAND, PERSON)
    assert other.opened("portal", IDS.sealed("portal", "ESTATE", "1")) is None
    assert IDS.is_sandbox
    assert not other.is_sandbox


def test_a_newer_key_seals_it_and_the_one_before_it_open_and_sector_ids_stay() -> None:
    first, second, third = (secrets.token_bytes(32) for _ in range(3))
    began, rotated, rotated_again = Ids(first), Ids(first, [second]), Ids(first, [third, second])
    old, newer = began.sealed("portal", "ESTATE", "1"), rotated.sealed("portal", "ESTATE", "1")
    assert newer != old
    assert rotated.opened("portal", old) == rotated.opened("portal", newer) == ("ESTATE", "1")
    assert began.opened("portal", newer) is None
    assert rotated_again.opened("portal", newer) == ("ESTATE", "1")
    assert rotated_again.opened("portal", old) is None
    for ids in (rotated, rotated_again):
        assert ids.sector_id(Agency.LAND, PERSON) == began.sector_id(Agency.LAND, PERSON)


@pytest.mark.parametrize("newer", [[], [b"n" * 32]])
def test_every_key_is_tried_on_every_text(newer: list[bytes]) -> None:
    ids = Ids(b"f" * 32, newer)
    tried: list[int] = []

    class Counting:
        def __init__(self, siv: Any) -> None:
            self.siv = siv

        def decrypt(self, box: bytes, bound: list[bytes]) -> bytes:
            tried.append(len(box))
            return self.siv.decrypt(box, bound)

    good = ids.sealed("portal", "ESTATE", str(uuid.UUID(int=1)))
    foreign, other = (
        ids.sealed("other", "ESTATE", str(uuid.UUID(int=2))),
        Ids(b"o" * 32).sealed("portal", "ESTATE", "1"),
    )
    ids._sivs = [Counting(siv) for siv in ids._sivs]
    for text in (good, foreign, other, good[:-1], "", "garbage", "한글", "A" * 5000):
        tried.clear()
        ids.opened("portal", text)
        assert len(tried) == 1 + len(newer)


def test_a_root_of_less_than_32_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Ids(bytes(31))
    with pytest.raises(ValueError, match="32 bytes"):
        Ids(bytes(32), [bytes(31)])


@settings(max_examples=100, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), parts)
def test_what_is_sealed_opens_for_the_same_client_and_is_the_same_each_time(client: str, said: list[str]) -> None:
    sealed = IDS.sealed(client, *said)
    assert sealed == IDS.sealed(client, *said)
    assert IDS.opened(client, sealed) == tuple(said)
    assert set(sealed) <= set(SEALED_ALPHABET)


@settings(max_examples=60, derandomize=True)
@given(parts, st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_what_is_sealed_for_one_client_is_nothing_to_another(said: list[str], client: str) -> None:
    assert IDS.opened(client + "x", IDS.sealed(client, *said)) is None


@settings(max_examples=300, derandomize=True)
@given(parts, st.integers(min_value=0), st.sampled_from(SEALED_ALPHABET + "+/=. é"))
def test_an_id_with_any_character_changed_opens_nothing(said: list[str], at: int, other: str) -> None:
    sealed = IDS.sealed("portal", *said)
    place = at % len(sealed)
    changed = sealed[:place] + other + sealed[place + 1 :]
    assert changed == sealed or IDS.opened("portal", changed) is None


def test_the_last_character_of_an_id_counts_whole() -> None:
    # Unused bits of base64 must not make aliases of one id (RFC 4648, section 3.5).
    for length in range(3):
        sealed = IDS.sealed("portal", "ESTATE", "x" * length)
        aliases = [sealed[:-1] + other for other in SEALED_ALPHABET if other != sealed[-1]]
        assert [alias for alias in aliases if IDS.opened("portal", alias) is not None] == []


def test_the_other_base64_alphabet_makes_no_alias() -> None:
    all_sealed = [IDS.sealed("portal", "ESTATE", f"case-{number}") for number in range(16)]
    aliases = [sealed.replace("-", "+").replace("_", "/") for sealed in all_sealed]
    assert [alias for alias in set(aliases) - set(all_sealed) if IDS.opened("portal", alias) is not None] == []


@pytest.mark.parametrize("tail", ["=", "==", "===", "A", "AAAA", " ", "\n", "."])
def test_an_id_with_something_behind_it_opens_nothing(tail: str) -> None:
    for length in range(6):
        assert IDS.opened("portal", IDS.sealed("portal", "ESTATE", "x" * length) + tail) is None


@settings(max_examples=200, derandomize=True)
@given(st.one_of(st.text(max_size=80), st.text(SEALED_ALPHABET, max_size=80), st.just("A" * 5000)), st.text(max_size=8))
def test_nonsense_opens_nothing_and_raises_nothing(sealed: str, client: str) -> None:
    assert IDS.opened(client, sealed) is None
