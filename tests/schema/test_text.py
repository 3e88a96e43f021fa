"""Words are there in both languages, and a null language is read as the default."""

import re
from collections.abc import Mapping
from enum import Enum

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from schema.answer import AnswerProblem
from schema.case import (
    DEADLINE_TITLES,
    REFUSAL_MESSAGES,
    REFUSAL_REMEDIES,
    DeadlineCode,
    Refusal,
    RefusalCode,
)
from schema.finance import Voucher
from schema.pensions import SCHEME_NAMES, PensionScheme
from schema.scalars import SCALARS
from schema.text import Bilingual

HANGUL = re.compile("[가-힣]")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (REFUSAL_MESSAGES, RefusalCode),
        (REFUSAL_REMEDIES, RefusalCode),
        (DEADLINE_TITLES, DeadlineCode),
        (SCHEME_NAMES, PensionScheme),
    ],
)
def test_every_word_has_its_text_in_both_languages(table: Mapping[Enum, Bilingual], words: type[Enum]) -> None:
    assert table.keys() == set(words)
    for ko, en in table.values():
        assert HANGUL.search(ko)
        assert en
        assert not HANGUL.search(en)
    assert len(set(table.values())) == len(table)


@pytest.mark.parametrize(
    ("arguments", "refusal", "problem", "voucher"),
    [
        ("", "en", "down", "이용권"),
        ("(language: null)", "en", "down", "이용권"),
        ("(language: KO)", "ko", "고장", "이용권"),
        ("(language: EN)", "en", "down", "voucher"),
    ],
)
def test_a_text_is_in_the_language_asked_for(arguments: str, refusal: str, problem: str, voucher: str) -> None:
    @strawberry.type
    class Query:
        refusal: Refusal
        problem: AnswerProblem
        voucher: Voucher

    seen = strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS)).execute_sync(
        f"{{ refusal {{ message{arguments} }} problem {{ message{arguments} }} voucher {{ name{arguments} }} }}",
        root_value=Query(
            refusal=Refusal(code=RefusalCode.DISPUTED),
            problem=AnswerProblem(code="X", institution=None, message_text=Bilingual("고장", "down")),
            voucher=Voucher(
                id=strawberry.ID("v"), balance=None, expires_on=None, name_text=Bilingual("이용권", "voucher")
            ),
        ),
    )

    assert seen.errors is None
    assert seen.data == {
        "refusal": {"message": getattr(REFUSAL_MESSAGES[RefusalCode.DISPUTED], refusal)},
        "problem": {"message": problem},
        "voucher": {"name": voucher},
    }
