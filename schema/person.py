"""Persons and kinship, from the family register (가족관계등록부).

Ranks, shares and reserved portions are statutory (Civil Act 1000-1010, 1112); wills, gifts and contributions are not
weighed.
"""

from datetime import date

import strawberry

from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.identifiers import PersonId
from schema.node import Node

_PRESENCE = Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.PRESENCE)
_IDENTITY = Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.IDENTITY)


@strawberry.enum(description="Sex as registered.")
class Sex(Choice):
    FEMALE = strawberry.enum_value("FEMALE", description="Female.")
    MALE = strawberry.enum_value("MALE", description="Male.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="Not registered.")


@strawberry.enum(description="What somebody is to the case's person.")
class Relation(Choice):
    SPOUSE = strawberry.enum_value("SPOUSE", description="Husband or wife at the time that counts.")
    CHILD = strawberry.enum_value("CHILD", description="Child by birth or adoption.")
    GRANDCHILD = strawberry.enum_value("GRANDCHILD", description="Grandchild or remoter descendant.")
    PARENT = strawberry.enum_value("PARENT", description="Parent by birth or adoption.")
    GRANDPARENT = strawberry.enum_value("GRANDPARENT", description="Grandparent or remoter ascendant.")
    SIBLING = strawberry.enum_value("SIBLING", description="Brother or sister with both parents in common.")
    HALF_SIBLING = strawberry.enum_value("HALF_SIBLING", description="Brother or sister with one parent in common.")
    NIECE_OR_NEPHEW = strawberry.enum_value("NIECE_OR_NEPHEW", description="Child of a brother or sister.")
    UNCLE_OR_AUNT = strawberry.enum_value("UNCLE_OR_AUNT", description="Brother or sister of a parent.")
    COUSIN = strawberry.enum_value("COUSIN", description="Child of an uncle or aunt.")
    UNBORN = strawberry.enum_value("UNBORN", description="Unborn child, who counts as born (Civil Act 1000(3)).")
    SELF = strawberry.enum_value("SELF", description="The person themself.")
    OTHER = strawberry.enum_value("OTHER", description="Any other tie, such as the spouse of a predeceased child.")


@strawberry.enum(description="Where an heir stands.")
class HeirStanding(Choice):
    ENTITLED = strawberry.enum_value("ENTITLED", description="Inherits.")
    PREDECEASED = strawberry.enum_value("PREDECEASED", description="Died before; their own heirs may stand in.")
    DISQUALIFIED = strawberry.enum_value(
        "DISQUALIFIED", description="Excluded by law or judgment (Civil Act 1004, 1004-2)."
    )
    RENOUNCED = strawberry.enum_value("RENOUNCED", description="Renounced; as if never an heir (Civil Act 1042).")
    LIMITED_ACCEPTANCE = strawberry.enum_value(
        "LIMITED_ACCEPTANCE", description="Inherits and owes no more than was inherited (Civil Act 1028)."
    )


@strawberry.enum(description="What a parent is to the child.")
class ParentRelation(Choice):
    MOTHER = strawberry.enum_value("MOTHER", description="Mother.")
    FATHER = strawberry.enum_value("FATHER", description="Father.")
    ADOPTIVE_PARENT = strawberry.enum_value("ADOPTIVE_PARENT", description="Parent by adoption.")


@strawberry.type(description="An exact share, in lowest terms.")
class Fraction:
    numerator: int = strawberry.field(description="Number above the line.")
    denominator: int = strawberry.field(description="Number below the line, greater than 0.")


@strawberry.type(
    description="A person as the family register knows them. A field is null when it is not registered or is withheld.",
    directives=[_IDENTITY],
)
class Person(Node):
    id: strawberry.ID = strawberry.field(description="Opaque and good for this case only.", directives=[_PRESENCE])
    name: str | None = strawberry.field(description="Full name in Korean, family name first.")
    birth_date: date | None = strawberry.field(description="Day of birth.")
    death_date: date | None = strawberry.field(description="Day of death; null while living.")
    sex: Sex | None = strawberry.field(description="Sex as registered.")
    address: str | None = strawberry.field(description="Registered address on one line. Null for protected persons.")
    masked_registration_number: str | None = strawberry.field(
        description="Resident registration number as `YYMMDD-G******`; only at assurance `HIGH`."
    )
    subject: strawberry.Private[PersonId]


@strawberry.type(description="A statutory heir, entitled or not, with the share that follows.", directives=[_IDENTITY])
class Heir:
    person: Person = strawberry.field(description="Who the heir is.")
    relation: Relation = strawberry.field(description="What the heir is to the deceased.")
    rank: int = strawberry.field(description="Order of succession, 1 (descendants) to 4 (Civil Act 1000).")
    share: Fraction = strawberry.field(
        description="Exact statutory share; all shares of a case add up to 1. 0 for who does not inherit."
    )
    reserved_portion: Fraction | None = strawberry.field(
        description="Part of the estate that a will cannot take away (Civil Act 1112); null where there is none."
    )
    representing: Person | None = strawberry.field(
        description="The heir, predeceased or disqualified, in whose place this one stands; else null."
    )
    standing: HeirStanding = strawberry.field(description="Whether and how the heir inherits.")


@strawberry.type(description="A registered parent of the child.", directives=[_IDENTITY])
class Parent:
    person: Person = strawberry.field(description="Who the parent is.")
    relation: ParentRelation = strawberry.field(description="What the parent is to the child.")
    custody: bool = strawberry.field(description="Whether the parent has parental authority (Civil Act 909).")
