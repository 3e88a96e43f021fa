"""What fields and words of the graph are called in plain language, in Korean and English.

labels.csv has a row for every type with fields of its own, every such field, and every value of the enums that entries
of the access log show. A test holds it against the graph: a field without a label does not pass.
"""

import csv
from collections.abc import Mapping
from enum import Enum
from importlib import resources
from typing import Final

from schema.text import Bilingual


def _read() -> Mapping[str, Bilingual]:
    lines = (resources.files("schema") / "labels.csv").read_text("utf-8").splitlines()
    return {row["name"]: Bilingual(row["ko"], row["en"]) for row in csv.DictReader(lines)}


LABELS: Final = _read()
ANOTHERS_CASE: Final = Bilingual("다른 사람의 사건 처리", "Handling of another person's case")
"""All that is told of why somebody was looked at while another person's case was handled."""


def label(name: str) -> Bilingual:
    """What a type or a coordinate is called; itself where an old entry names one that the graph no longer has."""
    return LABELS.get(name, Bilingual(name, name))


def label_of(word: Enum) -> Bilingual:
    """What a value of one of the graph's enums is called."""
    return label(f"{type(word).__name__}.{word.name}")
