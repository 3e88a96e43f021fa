"""Succession by statute: who inherits, in whose place, and how much.

Korean Civil Act (민법) 1000-1004-2, 1009, 1010, 1042, 1043, 1112 and 1118 as they stand since Act 21454 of 2026-03-17,
with the days from which changes count; Supreme Court 2020그42 (en banc, 2023-03-23) on renunciation and 99다13157
(2001-03-09) on simultaneous death and on grandchildren. For inheritances opened since 1991-01-01, and for persons whose
disappearance was declared since (Act 4199, addenda 12). Statutory shares only: wills, lifetime gifts (1008) and
contributions (1008-2) change what an heir takes in the end. An estate without heirs (1057-2, 1058) has no shares.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from itertools import count

from schema.identifiers import PersonId
from schema.person import HeirStanding, Relation

LOSS_OF_RIGHTS_SINCE = date(2024, 4, 25)
"""In inheritances opened from this day a court can take an heir's rights (1004-2; Acts 20432 and 21454, addenda 2)."""
SIBLINGS_RESERVED_UNTIL = date(2024, 4, 25)
"""From this day siblings have no reserved portion (Constitutional Court 2020헌가4)."""
ONLY_THE_DEADS_SPOUSE_SINCE = date(2026, 3, 17)
"""From this day only a dead heir's spouse takes their place, no longer a disqualified one's (1003(2), Act 21454)."""
LONGEST_PREGNANCY = timedelta(days=300)
"""Who is born later after the opening was not yet conceived (844(3))."""

SUBSTITUTED = frozenset({1, 3})
"""Ranks in which the line of a dead or excluded heir takes their place (1001)."""
NOTHING = Fraction(0)
INHERITING = frozenset({HeirStanding.ENTITLED, HeirStanding.LIMITED_ACCEPTANCE})
RELATIONS = {
    (0, 0): Relation.SELF,
    (0, 1): Relation.CHILD,
    (0, 2): Relation.GRANDCHILD,
    (1, 0): Relation.PARENT,
    (2, 0): Relation.GRANDPARENT,
    (1, 1): Relation.SIBLING,
    (1, 2): Relation.NIECE_OR_NEPHEW,
    (2, 1): Relation.UNCLE_OR_AUNT,
    (2, 2): Relation.COUSIN,
}
"""By generations up to the nearest common ancestor and down; in direct line, two stands for more."""


@dataclass(frozen=True, slots=True)
class Kin:
    """One person as the family register knows them, with what is recorded about this one estate.

    `parents` are the legal ones: adoptive parents beside the natural ones, or alone after a full adoption. `spouse` is
    whom they were married to when the deceased died, or when they died themselves if that was earlier; a widowed one
    names nobody or the dead spouse, and somebody else once remarried. The flags: unborn (1000(3)), disqualified (1004),
    rights lost by judgment (1004-2), renunciation (1041) or limited acceptance (1030) accepted by the court.
    """

    id: PersonId
    parents: frozenset[PersonId] = frozenset()
    spouse: PersonId | None = None
    born: date | None = None
    died: date | None = None
    unborn: bool = False
    disqualified: bool = False
    lost_rights: bool = False
    renounced: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """The deceased and their relatives, spouses of heirs included.

    A parent who is named but not in `kin` still links siblings. Raises ValueError if somebody is their own ancestor.
    """

    deceased: PersonId
    opened_on: date
    kin: Mapping[PersonId, Kin]
    line: Mapping[PersonId, int] = field(init=False, compare=False, repr=False)
    """The deceased and their ancestors, with the generations to each."""
    paths: Mapping[PersonId, tuple[int, int]] = field(init=False, compare=False, repr=False)
    """Generations up from the deceased to the nearest common ancestor and down to each who has one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", _line(self.kin, self.deceased))
        object.__setattr__(self, "paths", _paths(self.kin, self.line))


@dataclass(frozen=True, slots=True)
class HeirShare:
    """One heir's place in the succession; share 0 for those who would stand here but do not inherit.

    `representing` is whose place they take. Who has two capacities (a grandchild whom the deceased adopted) has two.
    """

    person: PersonId
    relation: Relation
    rank: int
    share: Fraction
    reserved_portion: Fraction | None
    representing: PersonId | None
    standing: HeirStanding


def heirs(family: Family) -> tuple[HeirShare, ...]:
    """Everybody of the rank that counts: the spouse, then by age, each followed by those who take their place.

    Shares add up to exactly 1, or there is no heir and the result is empty. A rank with an heir excludes the next, a
    nearer degree the farther (1000); the spouse inherits beside rank 1 or 2, else alone (1003(1)). Who renounces counts
    as never there (1042) and their share accrues to the co-heirs (1043). The spouse is one of these: when all children
    renounce the spouse alone inherits, not the grandchildren or parents (2020그42); where there is none, the next
    degree does, in its own right. Raises ValueError when a relative who matters is named but not described.
    """
    spouse = _spouse(family, _known(family, family.deceased))
    spouse_inherits = spouse is not None and _standing(family, spouse) in INHERITING
    for rank in (1, 2, 3, 4):
        beside = spouse if rank <= 2 else None
        nearer: list[HeirShare] = []
        for degree in _degrees(family, rank):
            accrues = beside is not None and spouse_inherits and _anyone(family, degree, rank, counting_renouncers=True)
            if accrues or _anyone(family, degree, rank):
                places = nearer + _divided(family, rank, Fraction(1), beside, degree)
                return tuple(sorted(places, key=lambda place: place.relation is not Relation.SPOUSE))
            nearer += [_place(family, head, rank, NOTHING, None) for head in degree]
        if rank == 2 and spouse is not None and spouse_inherits:
            return (_place(family, spouse, 1, Fraction(1), None),)
    return ()


def relation_of(family: Family, person: PersonId) -> Relation:
    """What the person is to the deceased; OTHER for remote collaterals and relatives by marriage."""
    deceased, kin = _known(family, family.deceased), _known(family, person)
    if deceased.spouse == person:
        return Relation.SPOUSE
    path = family.paths.get(person)
    if path is None:
        return Relation.OTHER
    up, down = path
    relation = RELATIONS.get((up, down) if up and down else (min(up, 2), min(down, 2)), Relation.OTHER)
    if relation is Relation.SIBLING and kin.parents != deceased.parents and len(kin.parents & deceased.parents) == 1:
        return Relation.HALF_SIBLING
    if relation in {Relation.CHILD, Relation.GRANDCHILD} and kin.unborn:
        return Relation.UNBORN
    return relation


def rank_of(family: Family, person: PersonId) -> int | None:
    """The rank in which the person inherits or is passed over, else the one that kinship gives (1000, 1003), if any."""
    in_succession = next((place.rank for place in heirs(family) if place.person == person), None)
    if in_succession is not None:
        return in_succession
    if _known(family, family.deceased).spouse == person:
        return 1
    path = family.paths.get(person)
    return None if path is None else _rank(path)


def _divided(
    family: Family,
    rank: int,
    share: Fraction,
    spouse: Kin | None,
    heads: Sequence[Kin],
    *,
    representing: PersonId | None = None,
) -> list[HeirShare]:
    """The share split between a spouse, 3 parts, and the lines of the heads, 2 parts each (1009, 1010(2)).

    A line without an heir has no part. The part of a head who died or is excluded goes to their children and spouse.
    """
    inheriting = {head.id for head in heads if _line_inherits(family, head, rank)}
    spouse_inherits = spouse is not None and _standing(family, spouse) in INHERITING
    part = share / ((3 if spouse_inherits else 0) + 2 * len(inheriting) or 1)
    places = [] if spouse is None else [_place(family, spouse, rank, 3 * part, representing)]
    twice = 2 * part
    for head in heads:
        of_line = twice if head.id in inheriting else NOTHING
        places.append(_place(family, head, rank, of_line, representing))
        if _is_replaced(family, head, rank):
            widowed, children = _surviving_spouse(family, head), _children(family, head)
            places += _divided(family, rank, of_line, widowed, children, representing=head.id)
    return places


def _place(family: Family, kin: Kin, rank: int, share: Fraction, representing: PersonId | None) -> HeirShare:
    """The reserved portion is half the share of descendants and spouse, a third of that of ascendants (1112, 1118)."""
    standing = _standing(family, kin)
    if standing not in INHERITING:
        share, reserved = NOTHING, None
    elif rank == 1 or kin.id == family.kin[family.deceased].spouse:
        reserved = share / 2
    elif rank == 2 or (rank == 3 and family.opened_on < SIBLINGS_RESERVED_UNTIL):
        reserved = share / 3
    else:
        reserved = None
    return HeirShare(
        person=kin.id,
        relation=relation_of(family, kin.id),
        rank=rank,
        share=share,
        reserved_portion=reserved,
        representing=representing,
        standing=standing,
    )


def _standing(family: Family, kin: Kin) -> HeirStanding:
    """Death on the day of the opening counts as simultaneous and hence as before it (30; 99다13157)."""
    if kin.died is not None and kin.died <= family.opened_on:
        return HeirStanding.PREDECEASED
    if kin.disqualified or (kin.lost_rights and family.opened_on >= LOSS_OF_RIGHTS_SINCE):
        return HeirStanding.DISQUALIFIED
    if kin.renounced:
        return HeirStanding.RENOUNCED
    return HeirStanding.LIMITED_ACCEPTANCE if kin.limited else HeirStanding.ENTITLED


def _is_replaced(family: Family, kin: Kin, rank: int) -> bool:
    """Renouncing makes room for nobody: only the dead and the excluded are replaced (1001)."""
    return rank in SUBSTITUTED and _standing(family, kin) in {HeirStanding.PREDECEASED, HeirStanding.DISQUALIFIED}


def _anyone(family: Family, heads: Sequence[Kin], rank: int, *, counting_renouncers: bool = False) -> bool:
    return any(_line_inherits(family, head, rank, counting_renouncers=counting_renouncers) for head in heads)


def _line_inherits(family: Family, head: Kin, rank: int, *, counting_renouncers: bool = False) -> bool:
    """Whether the head, or somebody in the head's place, inherits; or would, had nobody renounced."""
    counted = INHERITING | {HeirStanding.RENOUNCED} if counting_renouncers else INHERITING
    if not _is_replaced(family, head, rank):
        return _standing(family, head) in counted
    spouse = _surviving_spouse(family, head)
    return (spouse is not None and _standing(family, spouse) in counted) or _anyone(
        family, _children(family, head), rank, counting_renouncers=counting_renouncers
    )


def _surviving_spouse(family: Family, head: Kin) -> Kin | None:
    """The spouse who stands beside the children in the head's place (1003(2)): not once remarried (775(2))."""
    spouse = _spouse(family, head)
    dead = _standing(family, head) is HeirStanding.PREDECEASED
    if spouse is None or not (dead or (head.disqualified and family.opened_on < ONLY_THE_DEADS_SPOUSE_SINCE)):
        return None
    remarried = spouse.spouse not in {None, head.id}
    return None if remarried or _standing(family, spouse) is HeirStanding.PREDECEASED else spouse


def _degrees(family: Family, rank: int) -> Iterator[list[Kin]]:
    """Those of the rank who were born or conceived at the opening, by degree and age."""
    if rank == 2:
        by_degree = defaultdict(list)
        for ancestor, degree in family.line.items():
            by_degree[degree].append(ancestor)
        for degree in range(1, max(by_degree) + 1):
            yield sorted((_known(family, ancestor) for ancestor in by_degree[degree]), key=_age)
        return
    relatives = defaultdict(list)
    for kin in family.kin.values():
        path = family.paths.get(kin.id)
        if path is not None and _rank(path) == rank and _existed(family, kin):
            relatives[sum(path)].append(kin)
    for _, degree_kin in sorted(relatives.items()):
        yield sorted(degree_kin, key=_age)


def _rank(path: tuple[int, int]) -> int | None:
    match path:
        case (0, 0):
            return None
        case (0, _):
            return 1
        case (_, 0):
            return 2
        case (1, 1):
            return 3
        case _:
            return 4 if sum(path) <= 4 else None


def _line(kin: Mapping[PersonId, Kin], person: PersonId) -> dict[PersonId, int]:
    """The person and all ancestors, with the fewest generations to each."""
    found: dict[PersonId, int] = {}
    generation = {person}
    for distance in count():
        generation -= found.keys()
        if not generation:
            break
        found |= dict.fromkeys(generation, distance)
        generation = {parent for child in generation if child in kin for parent in kin[child].parents}
    return found


def _paths(kin: Mapping[PersonId, Kin], line: Mapping[PersonId, int]) -> dict[PersonId, tuple[int, int]]:
    """The shortest path to everybody, parents before their children; of several the one that goes up less."""
    children: defaultdict[PersonId, list[PersonId]] = defaultdict(list)
    waiting: dict[PersonId, int] = {}
    for each in kin.values():
        known = each.parents & kin.keys()
        waiting[each.id] = len(known)
        for parent in known:
            children[parent].append(each.id)
    found = {ancestor: (up, 0) for ancestor, up in line.items()}
    ready = [person for person, parents in waiting.items() if not parents]
    for person in ready:
        ways = [(up, down + 1) for up, down in map(found.__getitem__, kin[person].parents & found.keys())]
        if person in line:
            ways.append(found[person])
        if ways:
            found[person] = min(ways, key=lambda path: (sum(path), path))
        for child in children[person]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    if len(ready) < len(kin):
        raise ValueError("a cycle: somebody is their own ancestor")
    return found


def _children(family: Family, parent: Kin) -> list[Kin]:
    return sorted((kin for kin in family.kin.values() if parent.id in kin.parents and _existed(family, kin)), key=_age)


def _existed(family: Family, kin: Kin) -> bool:
    return kin.born is None or kin.born <= family.opened_on + LONGEST_PREGNANCY


def _age(kin: Kin) -> tuple[date, PersonId]:
    return kin.born or date.max, kin.id


def _spouse(family: Family, kin: Kin) -> Kin | None:
    return None if kin.spouse is None else _known(family, kin.spouse)


def _known(family: Family, person: PersonId) -> Kin:
    if person not in family.kin:
        raise ValueError("the family names a relative on whom the succession depends but does not describe them")
    return family.kin[person]
