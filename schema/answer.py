"""How an agency's reply stands: its state, its source and the moment it holds for. The values are in the sections."""

from datetime import date, datetime

import strawberry

from schema.choice import Choice
from schema.disclosure import Agency
from schema.fields import computed
from schema.text import Bilingual, InLanguage, Language


@strawberry.enum(description="State of an agency's answer. Only `COMPLETE` and `NONE_HELD` make the picture whole.")
class AnswerStatus(Choice):
    COMPLETE = strawberry.enum_value("COMPLETE", description="Everything the agency holds is here.")
    PARTIAL = strawberry.enum_value("PARTIAL", description="Some parts are missing; `problems` says which.")
    NONE_HELD = strawberry.enum_value("NONE_HELD", description="The agency says positively that it holds nothing.")
    EXISTENCE_ONLY = strawberry.enum_value(
        "EXISTENCE_ONLY", description="The agency says only whether something exists, not how much."
    )
    PENDING = strawberry.enum_value("PENDING", description="The agency answers later; see `expectedBy`.")
    UNAVAILABLE = strawberry.enum_value(
        "UNAVAILABLE", description="The agency could not be asked; see `retryAfterSeconds`. Says nothing about assets."
    )
    REFUSED = strawberry.enum_value("REFUSED", description="The agency declined, or the viewer may not ask it.")
    UNREADABLE = strawberry.enum_value(
        "UNREADABLE", description="The reply broke the agency's own format or was about somebody else; it was dropped."
    )
    EXPIRED = strawberry.enum_value("EXPIRED", description="The answer was deleted when its time was over; ask again.")


@strawberry.enum(description="A fact that an agency may leave open.")
class KnownFact(Choice):
    YES = strawberry.enum_value("YES", description="The agency says yes.")
    NO = strawberry.enum_value("NO", description="The agency says no.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="The agency did not say. Never show this as no.")


@strawberry.type(description="One thing that is wrong with an answer, such as an institution that did not reply.")
class AnswerProblem:
    code: str = strawberry.field(description="Stable machine word, e.g. `INSTITUTION_FAILED`.")
    institution: str | None = strawberry.field(description="Institution or part concerned; null for the whole answer.")
    message_text: strawberry.Private[Bilingual]

    @computed(description="What is wrong, in a sentence to show.")
    def message(self, language: InLanguage = Language.EN) -> str:
        return self.message_text.said_in(language or Language.EN)


@strawberry.type(
    description="State and provenance of what one agency said. "
    "`NONE_HELD` is a positive statement; `PENDING` and `UNAVAILABLE` are not."
)
class Answer:
    agency: Agency = strawberry.field(description="The agency that was asked.")
    status: AnswerStatus = strawberry.field(description="How the answer stands now.")
    source: str = strawberry.field(description="Register or service the facts come from, to show beside them.")
    source_reference: str | None = strawberry.field(
        description="The agency's own receipt or inquiry number; null when it gives none."
    )
    requested_at: datetime | None = strawberry.field(description="When the agency was asked; null when it was not.")
    expected_by: date | None = strawberry.field(
        description="Day by which a slow agency has agreed to answer; null when it answers at once."
    )
    retrieved_at: datetime | None = strawberry.field(description="When the answer arrived; null before.")
    as_of: datetime | None = strawberry.field(
        description="Moment the facts hold for; null when the agency does not say."
    )
    visible_until: datetime | None = strawberry.field(
        description="The agency deletes its answer after this moment; null when it does not."
    )
    retry_after_seconds: int | None = strawberry.field(
        description="Seconds to wait before asking again; null when asking again does not help."
    )
    problems: list[AnswerProblem] = strawberry.field(
        description="What is wrong with the answer; empty when nothing is."
    )


@strawberry.interface(
    description="All that one agency says in one case. "
    "A list is null when it is not known (withheld, pending, unavailable) and empty when the agency says there is none."
)
class Section:
    answer: Answer = strawberry.field(description="How the agency's answer stands. Read it before the lists.")
