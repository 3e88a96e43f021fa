"""Who is family, for the finding FAMILY_MEMBER: the degrees of Civil Act 770 and 771 that the register shows. Pure."""

from collections import defaultdict
from collections.abc import Mapping

from connectors.registry import FamilyRegister
from schema.identifiers import PersonId

BLOOD, IN_LAW = 2, 1
"""Degrees that count: the official's own, and the spouse's."""
Kin = tuple[PersonId, int, bool]
"""Person, degree (the spouse: 0), whether it is the spouse's kin."""


def kin(register: FamilyRegister) -> list[Kin]:
    """The family of the person whom the register is about."""
    me = register.subject
    found: list[Kin] = [(each, degree, False) for each, degree in _blood(register, me, BLOOD).items()]
    spouses = {
        each.b if each.a == me else each.a for each in register.marriages if me in {each.a, each.b} and not each.until
    }
    for spouse in spouses:
        found.append((spouse, 0, False))
        found += [(each, degree, True) for each, degree in _blood(register, spouse, IN_LAW).items() if each != me]
    return found


def _blood(register: FamilyRegister, of: PersonId, most: int) -> Mapping[PersonId, int]:
    """By degree: so many steps up to a common ancestor and down again."""
    parents, children = defaultdict(set), defaultdict(set)
    for each in register.parentage:
        parents[each.child].add(each.parent)
        children[each.parent].add(each.child)
    found: dict[PersonId, int] = {}
    level = {of}
    for up in range(most + 1):
        line = level
        for degree in range(up, most + 1):
            for person in line - {of}:
                found[person] = min(degree, found.get(person, degree))
            line = set().union(*(children[each] for each in line))
        level = set().union(*(parents[each] for each in level))
    return found
