import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import guard
from connectors.connector import Answered
from connectors.guard import Desk, Late, Mismatch, NoneHeld
from connectors.transport import Refused, Unavailable, Unreadable, WireReply
from schema.answer import Answer, KnownFact
from schema.disclosure import Agency
from schema.identifiers import SectorId
from schema.person import Fraction
from schema.text import Language
from tests.connectors.wire import NOW, question

ME = SectorId("lan1_" + "a" * 26)
DESK = Desk(Agency.LAND, "Ledger", lambda: NOW)


def raised(check: Callable[..., object], *values: Any) -> str:
    with pytest.raises(Unreadable) as error:
        check(*values)
    assert not any(str(value) in str(error.value) for value in values if str(value))
    return error.value.code


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-2-3", "20260203", "2026-W05-2", "2026-02-03 ", "", "２０２６-02-03"]
)
def test_a_day_that_does_not_exist_is_no_day(text: str) -> None:
    assert raised(guard.day, text) == "IMPOSSIBLE_DATE"


@given(st.dates())
def test_a_day_that_exists_is_read(day: date) -> None:
    assert guard.day(day.isoformat()) == day


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T00:00:00",
        "2026-11-21",
        "2026-11-21T25:00:00Z",
        "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "now",
    ],
)
def test_an_instant_without_its_offset_or_out_of_the_calendar_is_none(text: str) -> None:
    assert raised(guard.instant, text) == "IMPOSSIBLE_DATE"


def test_an_instant_is_read_as_utc() -> None:
    assert guard.instant("2026-11-21T09:00:00.5+09:00") == datetime(2026, 11, 21, 0, 0, 0, 500_000, tzinfo=UTC)


def test_money_is_exact_in_every_reader() -> None:
    assert guard.won(2**53 - 1) == 2**53 - 1
    assert guard.won(1 - 2**53) == 1 - 2**53
    assert raised(guard.won, 2**53) == "IMPOSSIBLE_AMOUNT"
    assert raised(guard.won, -(2**53)) == "IMPOSSIBLE_AMOUNT"
    assert raised(guard.price, -1) == "IMPOSSIBLE_AMOUNT"


@pytest.mark.parametrize("text", ["-1", "1e3", "NaN", "Infinity", "1.", ".5", "", " 1", "1_000", "١", "9" * 16])
def test_an_area_is_a_plain_number_and_not_negative(text: str) -> None:
    assert raised(guard.area, text) == "IMPOSSIBLE_NUMBER"
    assert guard.area("84.99") == Decimal("84.99")


@pytest.mark.parametrize("share", [(0, 1), (2, 1), (1, 0), (-1, -2), (1, 2**31)])
def test_a_share_is_more_than_nothing_and_at_most_all(share: tuple[int, int]) -> None:
    with pytest.raises(Unreadable) as error:
        guard.fraction(*share)
    assert error.value.code == "IMPOSSIBLE_SHARE"


def test_a_share_is_in_lowest_terms() -> None:
    assert guard.fraction(50, 100) == Fraction(numerator=1, denominator=2)


def test_a_code_is_one_of_its_kind() -> None:
    assert guard.code(KnownFact, "YES") is KnownFact.YES
    assert raised(guard.code, KnownFact, "MAYBE") == "UNKNOWN_CODE"


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("김하늘", "김**"),
        (" 남궁민수", "남**"),
        ("\u1100\u1175\u11b7하늘", "김**"),
        ("Kim Haneul", "K**"),
        ("이", "이**"),
        ("", "**"),
    ],
)
def test_a_masked_name_keeps_its_first_syllable_and_not_its_length(name: str, masked: str) -> None:
    assert guard.first_syllable(name) == masked


# ---------------------------------------------------------------- how it went


def unknown(answer: Answer) -> str:
    return f"unknown {answer.status.name}"


def nothing(answer: Answer) -> str:
    return f"nothing {answer.status.name}"


@pytest.mark.parametrize(
    ("error", "section", "codes"),
    [
        (NoneHeld("r"), "nothing NONE_HELD", []),
        (Late(date(2026, 12, 1)), "unknown PENDING", []),
        (Unavailable("TIMEOUT", 5), "unknown UNAVAILABLE", ["TIMEOUT"]),
        (Refused("REFUSED"), "unknown REFUSED", ["REFUSED"]),
        (Unreadable("NOT_JSON"), "unknown UNREADABLE", ["NOT_JSON"]),
        (Mismatch("OTHER_PERSON"), "unknown UNREADABLE", ["OTHER_PERSON"]),
        (KeyError("김하늘"), "unknown UNAVAILABLE", ["INTERNAL"]),
        (RecursionError(), "unknown UNAVAILABLE", ["INTERNAL"]),
    ],
)
async def test_whatever_is_raised_becomes_a_status(error: Exception, section: str, codes: list[str]) -> None:
    dropped: list[None] = []

    async def drop_pool() -> None:
        dropped.append(None)

    async def work() -> Answered[str]:
        raise error

    answered = await guard.settled(DESK, question(ME), work(), unknown=unknown, nothing=nothing, drop_pool=drop_pool)
    assert answered.section == section
    assert [problem.code for problem in answered.answer.problems] == codes
    assert bool(dropped) is isinstance(error, Mismatch)
    assert answered.asked_agency
    assert "김하늘" not in repr(answered)


async def test_cancellation_passes() -> None:
    async def work() -> Answered[str]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await guard.settled(DESK, question(ME), work(), unknown=unknown, nothing=nothing)


DOWN, LATE, DENIED, NONE = Unavailable("TIMEOUT"), Late(date(2026, 12, 1)), Refused("REFUSED"), NoneHeld()


def test_parts_that_fail_beside_others_are_what_is_missing() -> None:
    assert guard.failures([["a"], DOWN, NONE]) == [DOWN]
    assert guard.failures([["a"], NONE]) == []
    assert guard.failures([NONE, DOWN]) == [DOWN]
    assert guard.failures([]) == []


@pytest.mark.parametrize(
    ("parts", "worst"),
    [
        ([["a"], Unreadable("x"), Mismatch("y")], "y"),
        ([["a"], Unreadable("x"), DOWN], "x"),
        ([DOWN, LATE], "PENDING"),
        ([DENIED, DOWN], "REFUSED"),
        ([NONE, NONE], "UNKNOWN_PERSON"),
    ],
)
def test_what_leaves_nothing_to_believe_is_raised(parts: list[object], worst: str) -> None:
    with pytest.raises((Unreadable, Unavailable, Refused, Late, NoneHeld)) as error:
        guard.failures(parts)
    assert error.value.code == worst


def test_every_problem_speaks_both_languages() -> None:
    for code in [*guard.PROBLEMS, "SOMETHING_ELSE"]:
        said = guard.problem(code, "NPS")
        assert said.institution == "NPS"
        assert said.message(Language.KO) != said.message(Language.EN)


def reply(status: int, body: bytes = b"", content_type: str = "application/json") -> WireReply:
    return WireReply(status, content_type, "r-1", {}, body)


@given(st.integers(100, 599), st.binary(max_size=40), st.sampled_from(["application/json", "text/html", ""]))
def test_only_a_typed_and_filled_200_is_an_answer(status: int, body: bytes, content_type: str) -> None:
    answer = reply(status, body, content_type)
    try:
        given_back = guard.facts(answer, ME)
    except (Unavailable, Refused, Unreadable):
        assert status != 200 or not body or content_type != "application/json"
    else:
        assert (status, content_type) == (200, "application/json")
        assert given_back == body != b""
