"""Findings as they are shown: accesses that want a word of explanation, and how each was judged."""

from datetime import datetime

import strawberry

from schema.access import AccessEntry, Actor, PageInfo
from schema.case import Refusal
from schema.choice import Choice
from schema.fields import computed, fetched
from schema.node import Node
from schema.text import Bilingual, InLanguage, Language


@strawberry.enum(description="Why an access was noticed. A rule asks; it does not judge.")
class FindingRule(Choice):
    NO_OPEN_CASE = strawberry.enum_value(
        "NO_OPEN_CASE", description="No case with the person as a party was open, and nothing explains the access."
    )
    CASE_ALREADY_CLOSED = strawberry.enum_value(
        "CASE_ALREADY_CLOSED", description="The case that was named was closed, or the person is no party of it."
    )
    OWN_RECORD = strawberry.enum_value("OWN_RECORD", description="The official is the person.")
    FAMILY_MEMBER = strawberry.enum_value("FAMILY_MEMBER", description="The person is the official's family.")
    COLLEAGUE = strawberry.enum_value("COLLEAGUE", description="The person works in the official's organisation.")
    PUBLIC_FIGURE = strawberry.enum_value(
        "PUBLIC_FIGURE", description="The person is on the protected list, and the official not on its access list."
    )
    UNUSUAL_VOLUME = strawberry.enum_value(
        "UNUSUAL_VOLUME", description="Far more persons in a day than usual, for the official and for their peers."
    )
    OFF_HOURS = strawberry.enum_value(
        "OFF_HOURS", description="Several persons outside working hours or on a public holiday."
    )
    REFUSALS_IN_A_ROW = strawberry.enum_value(
        "REFUSALS_IN_A_ROW", description="Many fields of several persons refused within a day."
    )
    OVER_BROAD = strawberry.enum_value(
        "OVER_BROAD", description="Fields were read that hardly any access with this purpose reads."
    )
    REPEAT_INTEREST = strawberry.enum_value(
        "REPEAT_INTEREST", description="The same person on several days, without anything happening in their case."
    )
    BREAK_GLASS = strawberry.enum_value("BREAK_GLASS", description="Emergency access, which is always reviewed.")
    LOG_GAP = strawberry.enum_value("LOG_GAP", description="The log itself: an entry is missing or came late.")


@strawberry.enum(description="How much it matters.")
class Severity(Choice):
    LOW = strawberry.enum_value("LOW", description="For the next review.")
    MEDIUM = strawberry.enum_value("MEDIUM", description="To be looked at this week.")
    HIGH = strawberry.enum_value("HIGH", description="To be looked at now.")


@strawberry.enum(description="Where a finding stands.")
class FindingState(Choice):
    OPEN = strawberry.enum_value("OPEN", description="Noticed; nobody was asked yet.")
    EXPLANATION_REQUESTED = strawberry.enum_value(
        "EXPLANATION_REQUESTED", description="The official was asked and has not answered."
    )
    EXPLAINED = strawberry.enum_value("EXPLAINED", description="The official answered.")
    JUSTIFIED = strawberry.enum_value("JUSTIFIED", description="Closed: the access was in order.")
    VIOLATION = strawberry.enum_value("VIOLATION", description="Closed: the access was not in order.")


@strawberry.enum(description="How a finding is closed.")
class FindingVerdict(Choice):
    JUSTIFIED = strawberry.enum_value("JUSTIFIED", description="The access was in order.")
    VIOLATION = strawberry.enum_value("VIOLATION", description="The access was not in order.")


@strawberry.type(description="Something that happened to a finding.")
class FindingStep:
    at: datetime = strawberry.field(description="When.")
    by: str = strawberry.field(description="Pseudonym of who did it; `onestop` for the program itself.")
    state: FindingState = strawberry.field(description="How the finding stood afterwards.")
    note: str | None = strawberry.field(description="What was said; null when nothing was.")


@strawberry.type(description="Accesses of one official within 30 days that want a word of explanation.")
class Finding(Node):
    rule: FindingRule = strawberry.field(description="The gravest of the rules that fired.")
    severity: Severity = strawberry.field(description="Severity of that rule.")
    state: FindingState = strawberry.field(description="Where it stands.")
    raised_at: datetime = strawberry.field(description="When the first of the accesses happened.")
    due_at: datetime | None = strawberry.field(
        description="When the explanation is due; null unless one is waited for."
    )
    entries: list[AccessEntry] = fetched(description="The accesses, the latest first; 200 of them at most.")
    actor: Actor = strawberry.field(description="The official, under a pseudonym.")
    history: list[FindingStep] = strawberry.field(description="What happened to it, in order.")
    words: strawberry.Private[Bilingual]
    leaves: strawberry.Private[list[int]]
    organisation: strawberry.Private[str]

    @computed(description="Why the rules fired, in words.")
    def explanation(self, language: InLanguage = Language.EN) -> str:
        return self.words.said_in(language or Language.EN)


@strawberry.type(description="A finding and its place.")
class FindingEdge:
    cursor: str = strawberry.field(description="Opaque place of the finding.")
    node: Finding = strawberry.field(description="The finding.")


@strawberry.type(description="A page of findings, the latest first.")
class FindingConnection:
    edges: list[FindingEdge] = strawberry.field(description="Findings of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int | None = strawberry.field(description="Number of all findings; null when it was not counted.")


@strawberry.input(
    description="Which findings to show: all conditions must hold; a missing one holds for every finding."
)
class FindingFilter:
    state: FindingState | None = strawberry.field(default=None, description="That stand so.")
    rule: FindingRule | None = strawberry.field(default=None, description="With this as the gravest rule.")
    severity: Severity | None = strawberry.field(default=None, description="Of this severity.")
    actor: strawberry.ID | None = strawberry.field(
        default=None, description="About the official of this finding or log entry, by its id."
    )


@strawberry.input(description="Asks the official why.")
class RequestExplanationInput:
    finding: strawberry.ID = strawberry.field(description="Id of the finding.")
    note: str | None = strawberry.field(default=None, description="What to explain, in at most 4000 characters.")
    due_at: datetime = strawberry.field(description="Until when; overdue ones go to the supervisor as well.")


@strawberry.input(description="The official's answer.")
class ExplainAccessInput:
    finding: strawberry.ID = strawberry.field(description="Id of the finding.")
    text: str = strawberry.field(description="Why, in at most 4000 characters.")


@strawberry.input(description="The privacy officer's verdict.")
class CloseFindingInput:
    finding: strawberry.ID = strawberry.field(description="Id of the finding.")
    verdict: FindingVerdict = strawberry.field(description="Whether the accesses were in order.")
    note: str = strawberry.field(description="Grounds, in at most 4000 characters.")


@strawberry.type(description="The finding as it stands now, or why nothing was done: exactly one of the two is null.")
class FindingPayload:
    finding: Finding | None = strawberry.field(description="The finding.")
    refusal: Refusal | None = strawberry.field(description="Why nothing was done.")
