"""Registration numbers: one enters in an opening mutation, goes to the family register, and is nowhere else.

Neither an error, nor the access log, nor a document that is remembered keeps one, wherever the caller put it: into the
text of the document, under another variable's name, into a field for something else.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from graphql import DocumentNode, ObjectFieldNode, VariableNode, Visitor, visit

FIELD: Final = "registrationNumber"
REDACTED: Final = "(redacted)"
_NUMBER: Final = re.compile(r"(?<!\d)\d{6}[-\s\u2010-\u2015]?\d{7}(?!\d)")


def has_number(text: str) -> bool:
    """Whether anything in the text has the form of a registration number."""
    return _NUMBER.search(text) is not None


def without_numbers(text: str) -> str:
    """The text with whatever has the form of a registration number taken out."""
    return _NUMBER.sub(REDACTED, text)


def redacted(variables: Mapping[str, Any], document: DocumentNode, text: str) -> dict[str, Any]:
    """Variables as the officers' part of the log keeps them."""
    given = _given_for(FIELD, document) if FIELD in text else frozenset()
    return {
        without_numbers(name): REDACTED if name in given and value is not None else _redacted(name, value)
        for name, value in variables.items()
    }


def _redacted(name: str, value: Any) -> Any:
    if FIELD.lower() in name.lower():
        return REDACTED
    if isinstance(value, Mapping):
        return {without_numbers(str(inner)): _redacted(str(inner), each) for inner, each in value.items()}
    if isinstance(value, str):
        return without_numbers(value)
    if isinstance(value, Sequence):
        return [_redacted("", each) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and has_number(str(value).removesuffix(".0")):
        return REDACTED
    return value


def _given_for(field: str, document: DocumentNode) -> frozenset[str]:
    """The variables that a document gives for an input field."""
    found: set[str] = set()

    class Given(Visitor):
        def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> None:
            if node.name.value == field and isinstance(node.value, VariableNode):
                found.add(node.value.name.value)

    visit(document, Given())
    return frozenset(found)
