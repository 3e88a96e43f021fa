"""Who is asking, how surely we know it, and what is open to them. From the access token and the family register."""

from datetime import date

import strawberry

from schema.case import Case, CaseKind, Refusal
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.fields import argument, fetched
from schema.person import Person, Relation


@strawberry.enum(description="In what capacity somebody asks.")
class Role(Choice):
    CITIZEN = strawberry.enum_value("CITIZEN", description="A person in their own matters or by mandate.")
    OFFICIAL = strawberry.enum_value("OFFICIAL", description="A viewer in office.")
    PRIVACY_OFFICER = strawberry.enum_value("PRIVACY_OFFICER", description="Reviews accesses of their own agency.")
    AUDITOR = strawberry.enum_value("AUDITOR", description="Audits the access log.")
    SERVICE = strawberry.enum_value("SERVICE", description="A program without a person behind it.")


@strawberry.enum(description="How surely the viewer is who they say.")
class Assurance(Choice):
    LOW = strawberry.enum_value("LOW", description="One factor. Opens no case.")
    SUBSTANTIAL = strawberry.enum_value("SUBSTANTIAL", description="Two factors. What is held, without amounts.")
    HIGH = strawberry.enum_value("HIGH", description="Two factors, one bound to hardware. Amounts.")


@strawberry.type(description="A viewer in office.")
class Official:
    id: strawberry.ID = strawberry.field(description="Opaque id of the official.")
    name: str = strawberry.field(description="Full name.")
    office: str = strawberry.field(description="Office they work in.")
    agency: str = strawberry.field(description="Organisation the office belongs to.")


@strawberry.type(
    description="A person whose case the viewer may open, or could under a condition.",
    directives=[Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.IDENTITY)],
)
class CaseCandidate:
    kind: CaseKind = strawberry.field(description="Kind of case.")
    person: Person = strawberry.field(
        description="The deceased or the child. Pass `id` to the mutation that opens the case."
    )
    relation: Relation = strawberry.field(description="What the viewer is to that person.")
    opens_until: date | None = strawberry.field(description="Last day the case may be opened; null when there is none.")
    obstacle: Refusal | None = strawberry.field(description="Null when the case may be opened.")


@strawberry.type(description="Who is asking.")
class Viewer:
    person: Person | None = fetched(description="The signed-in person; null for services.")
    official: Official | None = strawberry.field(description="The office the viewer acts in; null for citizens.")
    roles: list[Role] = strawberry.field(description="Capacities of this sign-in.")
    assurance: Assurance = strawberry.field(description="How surely the viewer is known.")
    cases: list[Case] = fetched(
        description="Cases open to the viewer, the latest first.",
        arguments=[argument("kind", CaseKind | None, default=None, description="Only this kind; null for all.")],
    )
    candidates: list[CaseCandidate] = fetched(
        description="Persons whose estate or birth case the viewer may open, from the family register."
    )
