"""The access log as it is shown: who saw which fields of whom, for what purpose, on what basis. Never the values."""

from datetime import datetime

import strawberry

from schema.case import Purpose
from schema.choice import Choice
from schema.disclosure import Agency, Sensitivity
from schema.fields import computed
from schema.labels import ANOTHERS_CASE, label, label_of
from schema.node import Node
from schema.person import Person
from schema.scalars import Coordinate
from schema.text import InLanguage, Language
from schema.viewer import Role


@strawberry.enum(description="What was done.")
class AccessTask(Choice):
    VIEW = strawberry.enum_value("VIEW", description="Data was read.")
    SEARCH = strawberry.enum_value("SEARCH", description="Somebody was looked up.")
    CREATE = strawberry.enum_value("CREATE", description="Something was opened or filed.")
    UPDATE = strawberry.enum_value("UPDATE", description="Something was changed.")
    EXPORT = strawberry.enum_value("EXPORT", description="Data was taken out in bulk.")
    LOG_VIEW = strawberry.enum_value("LOG_VIEW", description="The access log was read.")


@strawberry.enum(description="How an access ended.")
class AccessOutcome(Choice):
    DISCLOSED = strawberry.enum_value("DISCLOSED", description="Everything asked for was shown.")
    PARTIAL = strawberry.enum_value("PARTIAL", description="Some was shown, some withheld or not to be had.")
    REFUSED = strawberry.enum_value("REFUSED", description="Nothing was shown; the viewer was not entitled.")
    FAILED = strawberry.enum_value("FAILED", description="Nothing was shown; something broke.")


@strawberry.type(description="Who accessed.")
class Actor:
    kind: Role = strawberry.field(description="In what capacity.")
    name: str | None = strawberry.field(description="Not told to the person whose data was seen: null for them.")
    office: str | None = strawberry.field(description="Office; null for citizens.")
    agency: str = strawberry.field(description="Organisation, or the portal a citizen used.")
    pseudonym: str | None = strawberry.field(
        default=None,
        description="The same for every access by the same official or person, and another for everybody else who "
        "looks; null when it was the viewer, or when it is not told.",
    )

    @computed(description="The capacity in plain words.")
    def kind_label(self, language: InLanguage = Language.EN) -> str:
        return label_of(self.kind).said_in(language or Language.EN)


@strawberry.type(description="Fields of one type that were seen, or not shown.")
class AccessedFields:
    agency: Agency = strawberry.field(description="Agency whose data it is.")
    type: str = strawberry.field(description="Type of the graph, e.g. `LandParcel`.")
    coordinates: list[Coordinate] = strawberry.field(description="The fields.")
    records: int = strawberry.field(description="Number of records of that type.")
    max_sensitivity: Sensitivity = strawberry.field(description="The greatest sensitivity among the fields.")

    @computed(description="The agency in plain words.")
    def agency_label(self, language: InLanguage = Language.EN) -> str:
        return label_of(self.agency).said_in(language or Language.EN)

    @computed(description="The type in plain words.")
    def type_label(self, language: InLanguage = Language.EN) -> str:
        return label(self.type).said_in(language or Language.EN)

    @computed(description="The fields in plain words, in the order of `coordinates`.")
    def labels(self, language: InLanguage = Language.EN) -> list[str]:
        return [label(coordinate).said_in(language or Language.EN) for coordinate in self.coordinates]


@strawberry.type(description="Position in the tamper-evident log (RFC 6962).")
class EntryIntegrity:
    leaf_index: str = strawberry.field(description="Index of the leaf, in decimal digits.")
    leaf_hash: str = strawberry.field(description="Hash of the leaf, SHA-256 in hex.")
    checkpoint: str | None = strawberry.field(
        description="Signed tree head (C2SP checkpoint) that covers the entry; null until published."
    )
    inclusion_proof: list[str] | None = strawberry.field(
        description="Audit path from leaf to root, SHA-256 in hex; null until a checkpoint covers the entry."
    )


@strawberry.type(
    description="One access: who saw which fields of whom, for what purpose, on what basis. Never the values."
)
class AccessEntry(Node):
    at: datetime = strawberry.field(description="When it happened.")
    actor: Actor = strawberry.field(description="Who accessed.")
    on_behalf_of: str | None = strawberry.field(
        description="Id of the person for whom the actor acted, when that is the viewer; null otherwise."
    )
    client: str = strawberry.field(description="Portal or program that was used.")
    subject: Person | None = strawberry.field(
        description="Whose data it was. Null for those who may not know the person behind the entry."
    )
    case: strawberry.ID | None = strawberry.field(description="Id of the case; null when there was none.")
    case_number: str | None = strawberry.field(description="Number of the case; null when there was none.")
    purpose: Purpose | None = strawberry.field(description="Why; null when none was established.")
    legal_basis: str | None = strawberry.field(description="The law that allows it; null when refused before.")
    operation_name: str | None = strawberry.field(description="Name of the document's operation; null when unnamed.")
    document_hash: str | None = strawberry.field(
        description="`sha256:` and the document's SHA-256 in hex, as in `documentId`; null when it was no document."
    )
    task: AccessTask = strawberry.field(description="What was done.")
    outcome: AccessOutcome = strawberry.field(description="How it ended.")
    disclosed: list[AccessedFields] = strawberry.field(description="What was seen, by type.")
    withheld: list[AccessedFields] = strawberry.field(description="What was asked for and not shown.")
    source_address: str | None = strawberry.field(
        description="Network address it came from; null for those who may not know."
    )
    trace_id: str | None = strawberry.field(description="Trace to quote to support; null for those who may not know.")
    integrity: EntryIntegrity = strawberry.field(description="Where the entry stands in the log.")
    reduced: bool = strawberry.field(
        default=False,
        description="Made while somebody else's case was handled. Then only the moment, the organisation and how it "
        "ended are told: which case it was, why and which fields would tell of that case.",
    )

    @computed(description="Why, in plain words; of an entry that is `reduced`, that it was another person's case.")
    def purpose_label(self, language: InLanguage = Language.EN) -> str | None:
        words = ANOTHERS_CASE if self.reduced else None if self.purpose is None else label_of(self.purpose)
        return None if words is None else words.said_in(language or Language.EN)

    @computed(description="What was done, in plain words.")
    def task_label(self, language: InLanguage = Language.EN) -> str:
        return label_of(self.task).said_in(language or Language.EN)

    @computed(description="How it ended, in plain words.")
    def outcome_label(self, language: InLanguage = Language.EN) -> str:
        return label_of(self.outcome).said_in(language or Language.EN)


@strawberry.type(description="Where a page stands among the others.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follow.")
    has_previous_page: bool = strawberry.field(description="Whether some come before.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first entry; null on an empty page.")
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last entry, to pass as `after`; null on an empty page."
    )


@strawberry.type(description="An entry and its place.")
class AccessEntryEdge:
    cursor: str = strawberry.field(description="Opaque place of the entry.")
    node: AccessEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of the access log, the latest first.")
class AccessEntryConnection:
    edges: list[AccessEntryEdge] = strawberry.field(description="Entries of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int | None = strawberry.field(description="Number of all entries; null when it was not counted.")


@strawberry.input(description="Which entries to show: all conditions must hold; a missing one holds for every entry.")
class AccessFilter:
    from_: datetime | None = strawberry.field(name="from", default=None, description="At this moment or later.")
    until: datetime | None = strawberry.field(default=None, description="Before this moment.")
    actor: strawberry.ID | None = strawberry.field(default=None, description="By this official or person.")
    subject: strawberry.ID | None = strawberry.field(default=None, description="About this person.")
    case: strawberry.ID | None = strawberry.field(default=None, description="In this case.")
    agency: Agency | None = strawberry.field(default=None, description="That show data of this agency.")
    coordinate: Coordinate | None = strawberry.field(default=None, description="That show this field.")
    purpose: Purpose | None = strawberry.field(default=None, description="For this purpose.")
    outcome: AccessOutcome | None = strawberry.field(default=None, description="That ended so.")
    min_sensitivity: Sensitivity | None = strawberry.field(
        default=None, description="That show a field of this sensitivity or a greater one."
    )
