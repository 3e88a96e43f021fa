"""Statutory succession: the vectors of the domain notes, worked cases, and what holds in every family."""

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rules.succession import INHERITING, Family, HeirShare, Kin, heirs, rank_of, relation_of
from schema.identifiers import PersonId
from schema.person import HeirStanding, Relation

OPENED = date(2026, 5, 1)
LONG_AGO = date(2020, 1, 1)


def kin(name: str, parents: str = "", **facts: object) -> Kin:
    spouse = facts.pop("spouse", None)
    return Kin(
        id=PersonId(name),
        parents=frozenset(map(PersonId, parents.split())),
        spouse=None if spouse is None else PersonId(str(spouse)),
        **facts,  # type: ignore[arg-type]  # the table below writes facts by name
    )


def family(*relatives: Kin, opened_on: date = OPENED) -> Family:
    """The deceased is D, and married to S when S is there."""
    known = {relative.id: relative for relative in relatives}
    if PersonId("D") not in known:
        known[PersonId("D")] = kin("D", spouse="S" if PersonId("S") in known else None, died=opened_on)
    return Family(deceased=PersonId("D"), opened_on=opened_on, kin=known)


def shares(places: tuple[HeirShare, ...]) -> dict[str, Fraction]:
    """Summed over capacities, without those who get nothing."""
    totals: dict[str, Fraction] = {}
    for place in places:
        totals[place.person] = totals.get(place.person, Fraction(0)) + place.share
    return {person: share for person, share in totals.items() if share}


def expected(text: str) -> dict[str, Fraction]:
    return {name: Fraction(share) for name, _, share in (part.partition("=") for part in text.split())}


S = kin("S", spouse="D")
A, B, C = kin("A", "D"), kin("B", "D"), kin("C", "D")
PARENTS = "mother father"
MOTHER, FATHER = kin("mother", "gm1 gf1"), kin("father", "gm2 gf2")
GRANDPARENTS = (kin("gm1"), kin("gf1"), kin("gm2"), kin("gf2"))
CHILD_OF_PARENTS = kin("D", PARENTS, died=OPENED)
WITH_SPOUSE = replace(CHILD_OF_PARENTS, spouse=PersonId("S"))
DEAD = {"died": LONG_AGO}


def gone(*relatives: Kin) -> tuple[Kin, ...]:
    return tuple(replace(relative, died=LONG_AGO) for relative in relatives)


def renounced(*relatives: Kin) -> tuple[Kin, ...]:
    return tuple(replace(relative, renounced=True) for relative in relatives)


VECTORS = {
    "a spouse and two children share 3:2:2": (family(S, A, B), "S=3/7 A=2/7 B=2/7"),
    "a spouse and a parent share 3:2": (family(kin("D", "mother", spouse="S"), S, MOTHER), "S=3/5 mother=2/5"),
    "a spouse without descendants or ascendants inherits alone": (family(S), "S=1"),
    "three children share alike": (family(A, B, C), "A=1/3 B=1/3 C=1/3"),
    "a predeceased child's spouse and child share that child's part 3:2": (
        family(S, A, B, kin("C", "D", spouse="s", **DEAD), kin("s"), kin("g", "C s")),
        "S=3/9 A=2/9 B=2/9 s=2/15 g=4/45",
    ),
    "when both children renounce the spouse inherits alone": (family(S, *renounced(A, B)), "S=1"),
    "a predeceased sibling's two children share that sibling's half": (
        family(
            CHILD_OF_PARENTS,
            *gone(MOTHER, FATHER, *GRANDPARENTS),
            kin("x", PARENTS),
            kin("y", PARENTS, **DEAD),
            kin("n1", "y"),
            kin("n2", "y"),
        ),
        "x=1/2 n1=1/4 n2=1/4",
    ),
}

CASES = VECTORS | {
    "nobody is left": (family(), ""),
    "one child inherits everything": (family(A), "A=1"),
    "children exclude parents": (family(WITH_SPOUSE, S, A, MOTHER, FATHER), "S=3/5 A=2/5"),
    "an adopted child inherits from both pairs of parents": (
        family(kin("A", "D x y z"), B),
        "A=1/2 B=1/2",
    ),
    "an unborn child counts as born": (family(S, A, kin("u", "D S", unborn=True)), "S=3/7 A=2/7 u=2/7"),
    "a child born nine months later was conceived in time": (
        family(A, kin("B", "D", born=date(2027, 1, 20))),
        "A=1/2 B=1/2",
    ),
    "a grandchild born years later is no heir": (
        family(*renounced(A), kin("late", "A", born=date(2030, 1, 1)), CHILD_OF_PARENTS, MOTHER, FATHER),
        "mother=1/2 father=1/2",
    ),
    "a grandchild does not inherit beside its living parent": (family(A, kin("g", "A")), "A=1"),
    "all children predeceased: grandchildren by stirpes, not by head": (
        family(*gone(A, B), kin("a1", "A"), kin("b1", "B"), kin("b2", "B")),
        "a1=1/2 b1=1/4 b2=1/4",
    ),
    "a great-grandchild steps in twice": (
        family(*gone(A), B, kin("g", "A", **DEAD), kin("gg", "g")),
        "B=1/2 gg=1/2",
    ),
    "a predeceased child without descendants leaves room to the others": (family(S, *gone(A), B), "S=3/5 B=2/5"),
    "a predeceased only child's widow excludes the parents": (
        family(CHILD_OF_PARENTS, MOTHER, kin("A", "D", spouse="w", **DEAD), kin("w", spouse="A")),
        "w=1",
    ),
    "a remarried widow does not step in": (
        family(kin("A", "D", spouse="w", **DEAD), kin("w", spouse="new"), kin("new", spouse="w"), kin("g", "A w"), B),
        "g=1/2 B=1/2",
    ),
    "parent and child who die on one day count as dying together": (
        family(kin("A", "D", spouse="w", died=OPENED), kin("w"), kin("g", "A w"), B),
        "w=3/10 g=1/5 B=1/2",
    ),
    "a child who survived by a day inherits": (
        family(kin("A", "D", died=date(2026, 5, 2)), kin("g", "A"), B),
        "A=1/2 B=1/2",
    ),
    "a disqualified child is replaced by the grandchildren": (
        family(kin("A", "D", disqualified=True), B, kin("a1", "A"), kin("a2", "A")),
        "a1=1/4 a2=1/4 B=1/2",
    ),
    "a disqualified child's spouse no longer steps in from 17 March 2026": (
        family(
            kin("A", "D", disqualified=True, spouse="w"),
            kin("w", spouse="A"),
            kin("g", "A"),
            B,
            opened_on=date(2026, 3, 17),
        ),
        "g=1/2 B=1/2",
    ),
    "a grandchild born years later does not step in either": (
        family(kin("A", "D", disqualified=True), kin("late", "A", born=date(2030, 1, 1)), B),
        "B=1",
    ),
    "a disqualified child's spouse stepped in until 16 March 2026": (
        family(
            kin("A", "D", disqualified=True, spouse="w"),
            kin("w", spouse="A"),
            kin("g", "A"),
            B,
            opened_on=date(2026, 3, 16),
        ),
        "w=3/10 g=1/5 B=1/2",
    ),
    "a child who lost their rights is replaced by their children, never by the spouse": (
        family(
            kin("A", "D", lost_rights=True, spouse="w"),
            kin("w", spouse="A"),
            kin("g", "A"),
            B,
            opened_on=date(2025, 7, 1),
        ),
        "g=1/2 B=1/2",
    ),
    "a parent who lost their rights leaves everything to the other": (
        family(CHILD_OF_PARENTS, replace(MOTHER, lost_rights=True), FATHER, opened_on=date(2024, 4, 25)),
        "father=1",
    ),
    "loss of rights does not reach back before 25 April 2024": (
        family(CHILD_OF_PARENTS, replace(MOTHER, lost_rights=True), FATHER, opened_on=date(2024, 4, 24)),
        "mother=1/2 father=1/2",
    ),
    "a disqualified spouse leaves the children alone": (family(replace(S, disqualified=True), A, B), "A=1/2 B=1/2"),
    "one child's renunciation accrues to spouse and sibling 3:2": (family(S, *renounced(A), B), "S=3/5 B=2/5"),
    "a renouncing child is not replaced": (family(*renounced(A), kin("g", "A"), B), "B=1"),
    "when the spouse renounces the children take all": (family(*renounced(S), A, B), "A=1/2 B=1/2"),
    "when all children renounce, neither grandchildren nor parents stand beside the spouse": (
        family(WITH_SPOUSE, S, *renounced(A, B), kin("g", "A"), MOTHER),
        "S=1",
    ),
    "when spouse and children renounce, grandchildren inherit by head": (
        family(*renounced(S, A, B), kin("a1", "A"), kin("b1", "B"), kin("b2", "B")),
        "a1=1/3 b1=1/3 b2=1/3",
    ),
    "when all descendants and the spouse renounce, the parents inherit": (
        family(WITH_SPOUSE, *renounced(S, A), *renounced(kin("g", "A")), MOTHER, FATHER),
        "mother=1/2 father=1/2",
    ),
    "when the parents renounce the spouse inherits alone": (
        family(WITH_SPOUSE, S, *renounced(MOTHER, FATHER), *GRANDPARENTS),
        "S=1",
    ),
    "without a spouse the grandparents follow renouncing parents": (
        family(CHILD_OF_PARENTS, *renounced(MOTHER, FATHER), *GRANDPARENTS),
        "gm1=1/4 gf1=1/4 gm2=1/4 gf2=1/4",
    ),
    "one living parent excludes all grandparents": (
        family(CHILD_OF_PARENTS, *gone(MOTHER), FATHER, *GRANDPARENTS),
        "father=1",
    ),
    "a spouse excludes siblings": (
        family(WITH_SPOUSE, S, *gone(MOTHER, FATHER, *GRANDPARENTS), kin("x", PARENTS)),
        "S=1",
    ),
    "half siblings share like full ones": (
        family(CHILD_OF_PARENTS, *gone(MOTHER, FATHER, *GRANDPARENTS), kin("x", PARENTS), kin("h", "mother other")),
        "x=1/2 h=1/2",
    ),
    "a predeceased sibling's widow steps in with the children": (
        family(
            CHILD_OF_PARENTS,
            *gone(MOTHER, FATHER, *GRANDPARENTS),
            kin("x", PARENTS, spouse="w", **DEAD),
            kin("w"),
            kin("n", "x w"),
        ),
        "w=3/5 n=2/5",
    ),
    "uncles and nephews of the third degree share alike": (
        family(
            CHILD_OF_PARENTS,
            *gone(MOTHER, FATHER, *GRANDPARENTS),
            *renounced(kin("x", PARENTS)),
            kin("n", "x"),
            kin("uncle", "gm1 gf1"),
            kin("cousin", "uncle"),
        ),
        "n=1/2 uncle=1/2",
    ),
    "cousins inherit in the fourth degree, and no line steps in for a dead uncle": (
        family(
            CHILD_OF_PARENTS,
            *gone(MOTHER, FATHER, *GRANDPARENTS, kin("uncle", "gm1 gf1")),
            kin("cousin", "uncle"),
            kin("second", "cousin"),
        ),
        "cousin=1",
    ),
    "the fifth degree inherits nothing": (
        family(
            CHILD_OF_PARENTS,
            *gone(MOTHER, FATHER, *GRANDPARENTS, kin("uncle", "gm1 gf1"), kin("cousin", "uncle")),
            kin("second", "cousin"),
        ),
        "",
    ),
    "limited acceptance keeps the share": (family(S, replace(A, limited=True)), "S=3/5 A=2/5"),
    "a grandchild whom the deceased adopted inherits in both capacities": (
        family(*gone(A), B, kin("g", "A D")),
        "g=2/3 B=1/3",
    ),
    "who renounces in a predeceased child's place leaves it to that child's line": (
        family(*gone(A), B, *renounced(kin("a1", "A")), kin("a2", "A")),
        "a2=1/2 B=1/2",
    ),
    "when the only child's place is renounced the spouse inherits alone": (
        family(WITH_SPOUSE, S, *gone(A), *renounced(kin("g", "A")), MOTHER),
        "S=1",
    ),
}


@pytest.mark.parametrize(("given_family", "wanted"), CASES.values(), ids=CASES.keys())
def test_statutory_shares(given_family: Family, wanted: str) -> None:
    assert shares(heirs(given_family)) == expected(wanted)


def places_of(given_family: Family) -> dict[str, HeirShare]:
    return {place.person: place for place in heirs(given_family)}


def test_those_of_the_rank_who_do_not_inherit_are_listed_with_their_reason() -> None:
    found = heirs(
        family(S, *gone(A), kin("g", "A"), *renounced(B), kin("C", "D", disqualified=True), kin("E", "D", limited=True))
    )
    assert [(place.person, place.standing, place.representing, place.rank) for place in found] == [
        ("S", HeirStanding.ENTITLED, None, 1),
        ("A", HeirStanding.PREDECEASED, None, 1),
        ("g", HeirStanding.ENTITLED, "A", 1),
        ("B", HeirStanding.RENOUNCED, None, 1),
        ("C", HeirStanding.DISQUALIFIED, None, 1),
        ("E", HeirStanding.LIMITED_ACCEPTANCE, None, 1),
    ]
    assert all(
        place.share == 0 and place.reserved_portion is None for place in found if place.standing not in INHERITING
    )


def test_the_spouse_and_each_line_come_by_age() -> None:
    found = heirs(family(kin("A", "D", born=date(1990, 1, 1)), kin("B", "D", born=date(1980, 1, 1)), S))
    assert [place.person for place in found] == ["S", "B", "A"]


def test_the_spouse_stands_in_the_rank_beside_which_they_inherit() -> None:
    assert places_of(family(S, A))["S"].rank == 1
    assert places_of(family(WITH_SPOUSE, S, MOTHER, FATHER))["S"].rank == 2
    assert places_of(family(S))["S"].rank == 1


def test_half_of_the_share_is_reserved_to_descendants_and_spouse_a_third_to_ascendants() -> None:
    beside_children = places_of(family(S, *gone(A), kin("g", "A"), B))
    assert {name: place.reserved_portion for name, place in beside_children.items()} == {
        "S": Fraction(3, 14),
        "A": None,
        "g": Fraction(1, 7),
        "B": Fraction(1, 7),
    }
    beside_parents = places_of(family(kin("D", "mother", spouse="S"), S, MOTHER))
    assert beside_parents["S"].reserved_portion == Fraction(3, 10)
    assert beside_parents["mother"].reserved_portion == Fraction(2, 15)


def test_the_reserved_portion_of_siblings_ended_on_25_april_2024() -> None:
    relatives = (CHILD_OF_PARENTS, *gone(MOTHER, FATHER, *GRANDPARENTS), kin("x", PARENTS))
    assert places_of(family(*relatives, opened_on=date(2024, 4, 24)))["x"].reserved_portion == Fraction(1, 3)
    assert places_of(family(*relatives, opened_on=date(2024, 4, 25)))["x"].reserved_portion is None


def test_relations_are_told_from_the_deceased() -> None:
    wide = family(
        WITH_SPOUSE,
        S,
        *(MOTHER, FATHER, *GRANDPARENTS),
        *(A, kin("g", "A"), kin("gg", "g"), kin("u", "D", unborn=True), kin("in-law", spouse="A")),
        *(kin("x", PARENTS), kin("h", "mother other"), kin("n", "x"), kin("uncle", "gm1 gf1"), kin("cousin", "uncle")),
    )
    assert {name: (relation_of(wide, PersonId(name)), rank_of(wide, PersonId(name))) for name in wide.kin} == {
        "D": (Relation.SELF, None),
        "S": (Relation.SPOUSE, 1),
        "mother": (Relation.PARENT, 2),
        "father": (Relation.PARENT, 2),
        **dict.fromkeys(("gm1", "gf1", "gm2", "gf2"), (Relation.GRANDPARENT, 2)),
        "A": (Relation.CHILD, 1),
        "g": (Relation.GRANDCHILD, 1),
        "gg": (Relation.GRANDCHILD, 1),
        "u": (Relation.UNBORN, 1),
        "in-law": (Relation.OTHER, None),
        "x": (Relation.SIBLING, 3),
        "h": (Relation.HALF_SIBLING, 3),
        "n": (Relation.NIECE_OR_NEPHEW, 4),
        "uncle": (Relation.UNCLE_OR_AUNT, 4),
        "cousin": (Relation.COUSIN, 4),
    }


def test_a_niece_in_her_dead_parents_place_stands_in_the_third_rank_and_a_childs_widow_in_the_first() -> None:
    siblings = family(CHILD_OF_PARENTS, *gone(MOTHER, FATHER, *GRANDPARENTS), kin("x", PARENTS, **DEAD), kin("n", "x"))
    assert rank_of(siblings, PersonId("n")) == 3
    assert rank_of(family(kin("A", "D", spouse="w", **DEAD), kin("w"), B), PersonId("w")) == 1


def test_a_missing_relative_matters_only_when_the_result_depends_on_them() -> None:
    assert shares(heirs(family(CHILD_OF_PARENTS, A))) == {"A": 1}
    with pytest.raises(ValueError, match="does not describe"):
        heirs(family(CHILD_OF_PARENTS, MOTHER))


def test_nobody_is_their_own_ancestor() -> None:
    with pytest.raises(ValueError, match="cycle"):
        family(kin("A", "B"), kin("B", "A"))


# ---------------------------------------------------------------- what holds in every family


@st.composite
def families(draw: st.DrawFn, *, sure: bool = False) -> Family:
    """Three generations around the deceased, with everything that can befall an heir.

    A sure one has a spouse and two children with a child each, all of whom inherit unless a test changes that.
    """
    relatives: dict[PersonId, Kin] = {}

    def add(name: str, parents: str = "", spouse: str | None = None) -> str:
        facts = draw(
            st.fixed_dictionaries(
                {
                    "died": st.sampled_from([None, None, None, LONG_AGO, OPENED]),
                    **dict.fromkeys(
                        ("disqualified", "lost_rights", "renounced", "limited"), st.integers(0, 5).map(lambda n: n == 0)
                    ),
                }
            )
        )
        relatives[PersonId(name)] = kin(name, parents, spouse=spouse, **facts)
        return name

    def line(name: str, parents: str, depth: int) -> None:
        married = depth > 0 and draw(st.booleans())
        add(name, parents, spouse=f"{name}s" if married else None)
        if married:
            add(f"{name}s", spouse=draw(st.sampled_from([name, None])))
        for number in range(draw(st.integers(0, 3)) if depth else 0):
            line(f"{name}{number}", name, depth - 1)

    for parent in ("M", "F"):
        add(parent, f"{parent}m {parent}f")
        add(f"{parent}m")
        add(f"{parent}f")
    for number in range(draw(st.integers(0, 3))):
        line(f"x{number}", draw(st.sampled_from(["M F", "M", "F"])), 1)
    for number in range(draw(st.integers(0, 4))):
        line(f"c{number}", "D", 2)
    married = sure or draw(st.booleans())
    if sure:
        relatives |= {one.id: one for one in (S, A, B, kin("a", "A"), kin("b", "B"))}
    elif married:
        add("S", spouse="D")
    opened_on = draw(st.sampled_from([OPENED, date(2025, 7, 1), date(2023, 7, 1)]))
    relatives[PersonId("D")] = kin("D", "M F", spouse="S" if married else None, died=opened_on)
    return Family(PersonId("D"), opened_on, relatives)


def with_fact(given_family: Family, person: PersonId, **fact: object) -> Family:
    changed = replace(given_family.kin[person], **fact)  # type: ignore[arg-type]  # facts by name
    return replace(given_family, kin={**given_family.kin, person: changed})


def own_right_heads(places: tuple[HeirShare, ...]) -> list[HeirShare]:
    return [place for place in places if place.representing is None and place.relation is not Relation.SPOUSE]


@given(families())
def test_shares_add_up_to_exactly_one_or_nobody_inherits(given_family: Family) -> None:
    found = heirs(given_family)
    assert sum(place.share for place in found) == (1 if found else 0)
    assert all((place.share > 0) == (place.standing in INHERITING) for place in found)
    assert len({place.rank for place in found}) <= 1


@given(families(), st.randoms(use_true_random=False))
def test_the_order_in_which_relatives_are_known_changes_nothing(given_family: Family, shuffled: object) -> None:
    order = list(given_family.kin.items())
    shuffled.shuffle(order)  # type: ignore[attr-defined]  # Hypothesis hands out a random.Random
    assert heirs(replace(given_family, kin=dict(order))) == heirs(given_family)


@given(families() | families(sure=True), st.data())
def test_who_renounces_beside_a_co_heir_is_as_if_never_there(given_family: Family, data: st.DataObject) -> None:
    before = heirs(given_family)
    heads = [place for place in own_right_heads(before) if place.share]
    assume(len(heads) > 1)
    person = data.draw(st.sampled_from(heads)).person
    after = heirs(with_fact(given_family, person, renounced=True))
    others = {name: one for name, one in given_family.kin.items() if name != person}
    without = replace(
        given_family, kin={name: replace(one, parents=one.parents - {person}) for name, one in others.items()}
    )
    assert shares(after) == shares(heirs(without))
    assert person in {place.person for place in after}


@given(families(sure=True))
def test_the_spouse_has_three_parts_for_two_of_every_line(given_family: Family) -> None:
    found = heirs(given_family)
    spouse = next(place.share for place in found if place.relation is Relation.SPOUSE)
    assert {2 * spouse} == {3 * place.share for place in own_right_heads(found) if place.share}


@given(families() | families(sure=True), st.data())
def test_stepping_into_a_place_changes_no_other_lines_share(given_family: Family, data: st.DataObject) -> None:
    before = heirs(given_family)
    heads = [place for place in own_right_heads(before) if place.share and place.rank in {1, 3}]
    assume(heads)
    replaced = data.draw(st.sampled_from(heads))
    after = heirs(with_fact(given_family, replaced.person, died=LONG_AGO))
    assume(any(place.representing == replaced.person and place.share for place in after))
    line = {place.person for place in after} - {place.person for place in before}
    others = {name: share for name, share in shares(before).items() if name != replaced.person}
    assert {name: share for name, share in shares(after).items() if name not in line} == others
    assert sum(place.share for place in after if place.person in line) == replaced.share
