"""Cases: what gives a reason to ask, the power a viewer has on one, what was withheld, and what falls due.

Kept by us. Deadlines and their statutes are computed in rules/.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Final

import strawberry

from schema.answer import Answer
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.fields import argument, computed, fetched
from schema.identifiers import CaseId, PersonId
from schema.node import Node
from schema.person import Person
from schema.scalars import Coordinate
from schema.text import Bilingual, InLanguage, Language

if TYPE_CHECKING:
    from schema.access import AccessEntryConnection  # the log speaks of purposes, and a case shows its log

_PRESENCE = Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.PRESENCE)
_IDENTITY = Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.IDENTITY)


@strawberry.enum(description="Why the viewer asks. A mandate allows one purpose; the access log records it.")
class Purpose(Choice):
    ESTATE_DISCOVERY = strawberry.enum_value(
        "ESTATE_DISCOVERY", description="Find out what a deceased person leaves, before accepting or renouncing."
    )
    ESTATE_SETTLEMENT = strawberry.enum_value("ESTATE_SETTLEMENT", description="Settle an estate that was accepted.")
    WARD_ADMINISTRATION = strawberry.enum_value("WARD_ADMINISTRATION", description="Manage the property of a ward.")
    BIRTH_BENEFITS = strawberry.enum_value("BIRTH_BENEFITS", description="Find and claim what follows from a birth.")
    MEANS_TEST = strawberry.enum_value("MEANS_TEST", description="Decide on a welfare application.")
    SUBJECT_ACCESS = strawberry.enum_value("SUBJECT_ACCESS", description="See one's own data (PIPA 35).")
    LOG_REVIEW = strawberry.enum_value("LOG_REVIEW", description="Review the access log.")


@strawberry.enum(description="What a case is about.")
class CaseKind(Choice):
    ESTATE = strawberry.enum_value("ESTATE", description="What a deceased person leaves: `EstateCase`.")
    BIRTH = strawberry.enum_value("BIRTH", description="What follows from a birth: `BirthCase`.")
    WELFARE = strawberry.enum_value("WELFARE", description="A welfare application.")


@strawberry.enum(description="Where a case stands.")
class CaseStatus(Choice):
    OPENED = strawberry.enum_value("OPENED", description="Opened; no agency was asked yet.")
    COLLECTING = strawberry.enum_value("COLLECTING", description="Agencies have been asked; answers are awaited.")
    PARTIAL = strawberry.enum_value("PARTIAL", description="No answer is awaited, but not every agency has answered.")
    COMPLETE = strawberry.enum_value("COMPLETE", description="Every agency has answered.")
    CLOSED = strawberry.enum_value("CLOSED", description="Closed; nothing is shown any more.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="Opened in error.")


@strawberry.enum(description="What makes somebody entitled to act on a case.")
class MandateRole(Choice):
    HEIR = strawberry.enum_value("HEIR", description="Statutory heir (Civil Act 1000-1003).")
    EXECUTOR = strawberry.enum_value("EXECUTOR", description="Executor of a will (Civil Act 1101).")
    ESTATE_ADMINISTRATOR = strawberry.enum_value(
        "ESTATE_ADMINISTRATOR", description="Administrator appointed by the court (Civil Act 1053)."
    )
    PARENT = strawberry.enum_value("PARENT", description="Registered parent of the child (Civil Act 909).")
    GUARDIAN = strawberry.enum_value("GUARDIAN", description="Guardian, within the court's order.")
    PROXY = strawberry.enum_value("PROXY", description="Acts for another mandate holder (Civil Act 114).")
    CASE_OFFICER = strawberry.enum_value("CASE_OFFICER", description="Official to whom the case is assigned.")
    WELFARE_OFFICER = strawberry.enum_value("WELFARE_OFFICER", description="Official who decides on welfare.")
    BREAK_GLASS = strawberry.enum_value("BREAK_GLASS", description="Emergency access, always reviewed afterwards.")


@strawberry.enum(description="Why something is not shown or not done.")
class RefusalCode(Choice):
    NOT_ACCESSIBLE = strawberry.enum_value(
        "NOT_ACCESSIBLE",
        description="Unknown, foreign and protected persons and cases all answer this, byte for byte alike.",
    )
    STEP_UP_REQUIRED = strawberry.enum_value("STEP_UP_REQUIRED", description="A stronger or fresher sign-in is needed.")
    CONSENT_REQUIRED = strawberry.enum_value("CONSENT_REQUIRED", description="The applicant has not consented.")
    EVIDENCE_REQUIRED = strawberry.enum_value(
        "EVIDENCE_REQUIRED", description="A document has to prove the entitlement."
    )
    OUT_OF_SCOPE = strawberry.enum_value("OUT_OF_SCOPE", description="The mandate does not reach this.")
    OUT_OF_TIME = strawberry.enum_value("OUT_OF_TIME", description="Too early, or the time is over.")
    DISPUTED = strawberry.enum_value("DISPUTED", description="The estate is in dispute.")
    SPECIAL_CATEGORY = strawberry.enum_value("SPECIAL_CATEGORY", description="Specially protected data.")
    THIRD_PARTY = strawberry.enum_value("THIRD_PARTY", description="It is about somebody else.")


REFUSAL_MESSAGES: Final[Mapping[RefusalCode, Bilingual]] = {
    RefusalCode.NOT_ACCESSIBLE: Bilingual("이용할 수 없습니다.", "This is not available to you."),
    RefusalCode.STEP_UP_REQUIRED: Bilingual(
        "추가 본인확인이 필요합니다.", "This needs a stronger or more recent sign-in."
    ),
    RefusalCode.CONSENT_REQUIRED: Bilingual("신청인의 동의가 필요합니다.", "This needs the applicant's consent."),
    RefusalCode.EVIDENCE_REQUIRED: Bilingual(
        "자격을 증명하는 서류가 필요합니다.", "This needs a document that proves your entitlement."
    ),
    RefusalCode.OUT_OF_SCOPE: Bilingual("위임받은 권한의 범위를 벗어납니다.", "Your mandate does not reach this."),
    RefusalCode.OUT_OF_TIME: Bilingual("이용할 수 있는 기간이 아닙니다.", "This is not available at this time."),
    RefusalCode.DISPUTED: Bilingual("상속에 관한 분쟁이 진행 중입니다.", "The estate is in dispute."),
    RefusalCode.SPECIAL_CATEGORY: Bilingual("특별히 보호되는 정보입니다.", "This is specially protected information."),
    RefusalCode.THIRD_PARTY: Bilingual("다른 사람에 관한 정보입니다.", "This is about another person."),
}

REFUSAL_REMEDIES: Final[Mapping[RefusalCode, Bilingual]] = {
    RefusalCode.NOT_ACCESSIBLE: Bilingual(
        "자격이 있다고 생각하시면 신분증과 증명서류를 가지고 시·군·구청이나 읍·면·동 주민센터를 방문하십시오.",
        "If you believe that you are entitled, visit a city, district or town office with your ID and proof.",
    ),
    RefusalCode.STEP_UP_REQUIRED: Bilingual(
        "더 강한 인증수단으로 다시 로그인하십시오.", "Sign in again with the strongest means you have."
    ),
    RefusalCode.CONSENT_REQUIRED: Bilingual(
        "신청인의 동의를 받아 사건에 등록하십시오.", "Ask the applicant for consent and record it on the case."
    ),
    RefusalCode.EVIDENCE_REQUIRED: Bilingual(
        "가족관계증명서, 결정문 등 증명서류를 가지고 시·군·구청이나 읍·면·동 주민센터를 방문하십시오.",
        "Visit a city, district or town office with the proof, such as a family relation certificate or a judgment.",
    ),
    RefusalCode.OUT_OF_SCOPE: Bilingual(
        "권한을 부여한 사람이나 기관에 범위 확대를 요청하십시오.", "Ask whoever issued your mandate to widen it."
    ),
    RefusalCode.OUT_OF_TIME: Bilingual(
        "기간이 지났으면 각 기관에 직접 문의하십시오.", "If the period is over, ask each agency directly."
    ),
    RefusalCode.DISPUTED: Bilingual(
        "분쟁이 끝나면 다시 볼 수 있습니다. 그동안은 유언집행자나 상속재산관리인에게 문의하십시오.",
        "It is shown again once the dispute has ended. Until then ask the executor or the administrator of the estate.",
    ),
    RefusalCode.SPECIAL_CATEGORY: Bilingual(
        "해당 의료기관이나 기관에 직접 문의하십시오.", "Ask the medical institution or agency that holds it."
    ),
    RefusalCode.THIRD_PARTY: Bilingual("그 사람에게 직접 문의하십시오.", "Ask that person."),
}


@strawberry.type(description="Why something was refused, in words to show.")
class Refusal:
    code: RefusalCode = strawberry.field(description="Stable machine word.")
    said: strawberry.Private[Bilingual | None] = None
    """What happened and what to do, where the code's own words say too little."""

    @computed(description="What happened, in a sentence to show.")
    def message(self, language: InLanguage = Language.EN) -> str:
        return (self.said or REFUSAL_MESSAGES[self.code]).said_in(language or Language.EN)

    @computed(description="What the viewer can do about it; null when nothing can be done.")
    def remedy(self, language: InLanguage = Language.EN) -> str | None:
        return None if self.said else REFUSAL_REMEDIES[self.code].said_in(language or Language.EN)


@strawberry.type(description="A field that the viewer may not see now. It is null in the answer.")
class Withheld:
    coordinate: Coordinate = strawberry.field(description="The field, as `Type.field`.")
    sensitivity: Sensitivity = strawberry.field(description="How sensitive the field is.")
    refusal: Refusal = strawberry.field(description="Why it is withheld, and what would change that.")


@strawberry.type(description="The power somebody has on a case.", directives=[_PRESENCE])
class Mandate:
    id: strawberry.ID = strawberry.field(description="Opaque id of the mandate.")
    role: MandateRole = strawberry.field(description="What it rests on.")
    holder: Person | None = fetched(
        description="Who has it; null for officials, or when withheld.", directives=[_IDENTITY]
    )
    on_behalf_of: Person | None = fetched(
        description="For whom a proxy, guardian or case officer acts; null for everyone else.", directives=[_IDENTITY]
    )
    purpose: Purpose = strawberry.field(description="The one purpose it allows.")
    legal_basis: str = strawberry.field(description="Statute, article or order it rests on.")
    issued_by: str = strawberry.field(description="Register, court, office or person that gave it.")
    valid_from: datetime = strawberry.field(description="First moment it holds.")
    valid_until: datetime | None = strawberry.field(description="Moment it ends by itself; null when it does not.")
    revoked_at: datetime | None = strawberry.field(description="When it was taken back; null while in force.")
    ref: strawberry.Private[CaseId]
    held_by: strawberry.Private[PersonId | None]
    acting_for: strawberry.Private[PersonId | None]


@strawberry.enum(description="What has to be done by a certain day.")
class DeadlineCode(Choice):
    ESTATE_INQUIRY = strawberry.enum_value("ESTATE_INQUIRY", description="Ask for the estate inquiry (안심상속).")
    ACCEPTANCE_OR_RENUNCIATION = strawberry.enum_value(
        "ACCEPTANCE_OR_RENUNCIATION", description="Accept with limits, or renounce."
    )
    INHERITANCE_TAX = strawberry.enum_value("INHERITANCE_TAX", description="File the inheritance-tax return.")
    FINAL_INCOME_TAX = strawberry.enum_value("FINAL_INCOME_TAX", description="File the deceased's last income tax.")
    ACQUISITION_TAX = strawberry.enum_value(
        "ACQUISITION_TAX", description="File acquisition tax on inherited property."
    )
    VEHICLE_TRANSFER = strawberry.enum_value("VEHICLE_TRANSFER", description="Register the transfer of vehicles.")
    SURVIVOR_PENSION_CLAIM = strawberry.enum_value("SURVIVOR_PENSION_CLAIM", description="Claim survivor benefits.")
    FINANCE_ANSWER_EXPIRES = strawberry.enum_value(
        "FINANCE_ANSWER_EXPIRES", description="Save the financial answer before its source deletes it."
    )
    BIRTH_REPORT = strawberry.enum_value("BIRTH_REPORT", description="Report the birth.")
    PARENTAL_ALLOWANCE_BACKPAY = strawberry.enum_value(
        "PARENTAL_ALLOWANCE_BACKPAY", description="Apply for the parental allowance with back pay."
    )
    CHILD_ALLOWANCE_BACKPAY = strawberry.enum_value(
        "CHILD_ALLOWANCE_BACKPAY", description="Apply for the child allowance with back pay."
    )
    HEALTH_DEPENDANT_REGISTRATION = strawberry.enum_value(
        "HEALTH_DEPENDANT_REGISTRATION", description="Register the child as a dependant for health insurance."
    )
    FIRST_VOUCHER_USE = strawberry.enum_value("FIRST_VOUCHER_USE", description="Use up the first-encounter voucher.")


DEADLINE_TITLES: Final[Mapping[DeadlineCode, Bilingual]] = {
    DeadlineCode.ESTATE_INQUIRY: Bilingual("안심상속 재산조회 신청", "Ask for the estate inquiry"),
    DeadlineCode.ACCEPTANCE_OR_RENUNCIATION: Bilingual(
        "한정승인 또는 상속포기 신고", "Limited acceptance or renunciation"
    ),
    DeadlineCode.INHERITANCE_TAX: Bilingual("상속세 신고·납부", "Inheritance-tax return"),
    DeadlineCode.FINAL_INCOME_TAX: Bilingual("피상속인의 종합소득세 신고", "The deceased's last income-tax return"),
    DeadlineCode.ACQUISITION_TAX: Bilingual("상속 취득세 신고·납부", "Acquisition tax on inherited property"),
    DeadlineCode.VEHICLE_TRANSFER: Bilingual("자동차 상속 이전등록", "Transfer registration of vehicles"),
    DeadlineCode.SURVIVOR_PENSION_CLAIM: Bilingual("유족연금·사망일시금 청구", "Claim survivor benefits"),
    DeadlineCode.FINANCE_ANSWER_EXPIRES: Bilingual("금융조회 결과 열람 종료", "Financial answer is deleted"),
    DeadlineCode.BIRTH_REPORT: Bilingual("출생신고", "Report the birth"),
    DeadlineCode.PARENTAL_ALLOWANCE_BACKPAY: Bilingual("부모급여 소급 신청", "Parental allowance with back pay"),
    DeadlineCode.CHILD_ALLOWANCE_BACKPAY: Bilingual("아동수당 소급 신청", "Child allowance with back pay"),
    DeadlineCode.HEALTH_DEPENDANT_REGISTRATION: Bilingual("건강보험 피부양자 등록", "Health insurance for the child"),
    DeadlineCode.FIRST_VOUCHER_USE: Bilingual("첫만남이용권 사용", "Use the first-encounter voucher"),
}


@strawberry.type(
    description="Something that has to be done by a day. Days are counted as the Civil Act (157-160) does.",
    directives=[_PRESENCE],
)
class Deadline:
    code: DeadlineCode = strawberry.field(description="Stable machine word.")
    due_on: date = strawberry.field(description="Last day, in Korea. Not moved for weekends and holidays.")
    days_left: int = strawberry.field(description="Days from today to the last day; negative when it has passed.")
    legal_basis: str = strawberry.field(description="Statute and article that set it.")
    consequence_text: strawberry.Private[Bilingual]

    @computed(description="What has to be done, in a few words.")
    def title(self, language: InLanguage = Language.EN) -> str:
        return DEADLINE_TITLES[self.code].said_in(language or Language.EN)

    @computed(description="What happens when it is missed.")
    def consequence(self, language: InLanguage = Language.EN) -> str:
        return self.consequence_text.said_in(language or Language.EN)


@strawberry.interface(description="What gives a reason to ask: one event, one person, and who may act on it.")
class Case(Node):
    number: str = strawberry.field(description="Number to quote to an office.")
    kind: CaseKind = strawberry.field(description="What the case is about.")
    status: CaseStatus = fetched(description="Where the case stands.")
    opened_at: datetime = strawberry.field(description="When it was opened.")
    purpose: Purpose = strawberry.field(description="The purpose for which the viewer asks here.")
    mandate: Mandate = fetched(description="The viewer's own power on this case.")
    mandates: list[Mandate] = fetched(description="Everyone's power on this case, as far as the viewer may know.")
    answers: list[Answer] = fetched(description="Where each agency stands.")
    withheld: list[Withheld] = fetched(
        description="Fields of this document that the viewer may not see now, why, and what would change that."
    )
    deadlines: list[Deadline] = fetched(description="What falls due, the nearest first.")
    access_log: Annotated["AccessEntryConnection", strawberry.lazy("schema.access")] = fetched(
        description="Who saw data of this case, the latest first.",
        arguments=[
            argument("first", int | None, default=50, description="Greatest number of entries to return."),
            argument("after", str | None, default=None, description="Cursor after which to go on; null starts anew."),
        ],
    )
    ref: strawberry.Private[CaseId]
    subject: strawberry.Private[PersonId]


@strawberry.type(description="An agency's answer to a case has changed.", directives=[_PRESENCE])
class CaseUpdate:
    case: Case = strawberry.field(description="The case, to ask again from.")
    answer: Answer = strawberry.field(description="How that agency stands now.")
    ref: strawberry.Private[CaseId]
    subject: strawberry.Private[PersonId]


@strawberry.input(
    description="Names a person by what the viewer knows of them. "
    "The only place where a registration number enters the graph; it never comes back out."
)
class PersonLookupInput:
    name: str = strawberry.field(description="Full name in Korean, as registered.")
    birth_date: date = strawberry.field(description="Day of birth.")
    registration_number: str | None = strawberry.field(
        default=None,
        description="Resident registration number, 13 digits with or without hyphen. Pass it as a variable.",
    )


@strawberry.input(description="Names the deceased, either as one of `viewer.candidates` or by their particulars.")
class OpenEstateCaseInput:
    candidate: strawberry.ID | None = strawberry.field(
        default=None, description="`person.id` of one of `viewer.candidates`. Give this or `deceased`."
    )
    deceased: PersonLookupInput | None = strawberry.field(
        default=None, description="The deceased's particulars. Give this or `candidate`."
    )
    idempotency_key: str = strawberry.field(
        description="Chosen by the client, e.g. a UUID. The same key gives the same answer and opens nothing twice."
    )


@strawberry.input(description="Names the child, either as one of `viewer.candidates` or by their particulars.")
class OpenBirthCaseInput:
    candidate: strawberry.ID | None = strawberry.field(
        default=None, description="`person.id` of one of `viewer.candidates`. Give this or `child`."
    )
    child: PersonLookupInput | None = strawberry.field(
        default=None, description="The child's particulars. Give this or `candidate`."
    )
    idempotency_key: str = strawberry.field(
        description="Chosen by the client, e.g. a UUID. The same key gives the same answer and opens nothing twice."
    )


@strawberry.input(description="Declares an emergency about one person, by an official.")
class BreakGlassInput:
    kind: CaseKind = strawberry.field(description="Whether it is about an estate or a birth.")
    person: PersonLookupInput = strawberry.field(description="The deceased's or the child's particulars.")
    reason: str = strawberry.field(
        description="The danger, in 40 to 500 characters. It is kept in the access log and reviewed."
    )


@strawberry.type(description="The case, or why there is none: exactly one of the two is null.")
class OpenCasePayload:
    case: Case | None = strawberry.field(description="The case, new or found again.", directives=[_PRESENCE])
    refusal: Refusal | None = strawberry.field(description="Why it could not be opened.")


@strawberry.input(description="Which agencies to ask (again) in a case.")
class RequestAnswersInput:
    case: strawberry.ID = strawberry.field(description="Id of the case.")
    agencies: list[Agency] = strawberry.field(description="Agencies to ask; those that answer at once need no request.")
    idempotency_key: str = strawberry.field(
        description="Chosen by the client, e.g. a UUID. The same key gives the same answer and asks nobody twice."
    )


@strawberry.type(description="Where the agencies stand after the request.")
class RequestAnswersPayload:
    answers: list[Answer] = strawberry.field(
        description="One for each agency named; empty when refused.", directives=[_PRESENCE]
    )
    refusal: Refusal | None = strawberry.field(description="Why nobody was asked; null when somebody was.")
    ref: strawberry.Private[CaseId | None] = None
    subject: strawberry.Private[PersonId | None] = None


@strawberry.input(description="Lets another person act for the viewer, who is an heir, on one case.")
class GrantProxyInput:
    case: strawberry.ID = strawberry.field(description="Id of the case.")
    holder: PersonLookupInput = strawberry.field(description="Who is to act, by their particulars.")
    until: datetime = strawberry.field(description="When it ends by itself: within a year.")
    idempotency_key: str = strawberry.field(
        description="Chosen by the client, e.g. a UUID. The same key gives the same answer and gives nothing twice."
    )


@strawberry.input(description="Ends a mandate at once.")
class RevokeMandateInput:
    mandate: strawberry.ID = strawberry.field(description="Id of the mandate.")
    reason: str = strawberry.field(description="Why, in at most 500 characters. It is kept with the mandate.")


@strawberry.type(description="The mandate, or why there is none: exactly one of the two is null.")
class MandatePayload:
    mandate: Mandate | None = strawberry.field(
        description="The mandate as it is now, given or ended.", directives=[_PRESENCE]
    )
    refusal: Refusal | None = strawberry.field(description="Why nothing was given or ended.")
    ref: strawberry.Private[CaseId | None] = None
    subject: strawberry.Private[PersonId | None] = None
