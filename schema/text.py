"""Words for people, in Korean and English."""

from typing import Annotated, NamedTuple

import strawberry

from schema.choice import Choice


@strawberry.enum(description="Language of a text field.")
class Language(Choice):
    KO = strawberry.enum_value("KO", description="Korean.")
    EN = strawberry.enum_value("EN", description="English.")


class Bilingual(NamedTuple):
    """The same words in both languages."""

    ko: str
    en: str

    def said_in(self, language: Language) -> str:
        return self.ko if language is Language.KO else self.en


InLanguage = Annotated[
    Language | None, strawberry.argument(description="Language of the answer; null is read as the default.")
]
"""Type of every `language` argument."""
