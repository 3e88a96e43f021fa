"""What has the form of a registration number is taken out, wherever it was put, and nothing else is."""

from typing import Any

import pytest
from graphql import parse

from resolvers.documents import Document, Documents, Limits
from resolvers.redaction import REDACTED, redacted, without_numbers
from tests.resolvers.world import CORE

NUMBER, PLAIN = "500231-1900001", "5002311900001"


@pytest.mark.parametrize("number", [NUMBER, PLAIN, "500231 1900001", "500231–1900001", "５００２３１-１９００００１"])
def test_a_number_is_taken_out_of_a_text(number: str) -> None:
    assert without_numbers(f"of '{number}'; N{number}") == f"of '{REDACTED}'; N{REDACTED}"


@pytest.mark.parametrize(
    "text", ["4113510900106240000", "KR7005930003", "9e1f2a3b-1234-5678", "1234567-123456", "2026-03-14"]
)
def test_other_numbers_stay(text: str) -> None:
    assert without_numbers(text) == text


@pytest.mark.parametrize(
    ("text", "given", "kept"),
    [
        (
            "{ a }",
            {"input": {"deceased": {"registrationNumber": "12"}}},
            {"input": {"deceased": {"registrationNumber": REDACTED}}},
        ),
        ("{ a }", {"x": [NUMBER, {"y": PLAIN}], NUMBER: 1}, {"x": [REDACTED, {"y": REDACTED}], REDACTED: 1}),
        (
            "{ a }",
            {"x": int(PLAIN), "y": float(PLAIN), "z": [True, None, 12, 1.5]},
            {"x": REDACTED, "y": REDACTED, "z": [True, None, 12, 1.5]},
        ),
        (
            "query($n: String) { a(input: {registrationNumber: $n, name: $m}) }",
            {"n": "12", "m": "name"},
            {"n": REDACTED, "m": "name"},
        ),
        ("query($n: String) { a(input: {registrationNumber: $n}) }", {"n": None}, {"n": None}),
    ],
)
def test_variables_are_kept_without_numbers(text: str, given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert redacted(given, parse(text), text) == kept


def test_a_document_with_a_number_is_not_remembered_and_not_named_after_it() -> None:
    documents = Documents(CORE, Limits())
    text = 'query Q {{ estateCase(id: "{0}") {{ id }} }}'
    first, again, other = (documents.take(text.format(number)) for number in (NUMBER, NUMBER, "500231-1900002"))
    assert isinstance(first, Document)
    assert isinstance(other, Document)
    assert first is not again
    assert first.hash == other.hash
    assert documents.take(text.format("x")) is documents.take(text.format("x"))
