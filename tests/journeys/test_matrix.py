"""The decision table, asked over HTTP: every coordinate of the two big questions, by persona and sign-in.

What is expected is read from auth/decisions.csv here, in plain Python, and from nothing that the program uses: which
row allows an agency's data at a sensitivity, at which assurance, and what is said when it does not.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, SelectionSetNode, get_named_type, parse

from tests.journeys.client import Onestop, Reply
from tests.journeys.documents import BIRTH, ENTRY, ESTATE
from tests.journeys.graph import INHERITED, LEVELS, Graph, _Reader

TABLE = Path(__file__).parents[2] / "auth" / "decisions.csv"
AGENCIES = frozenset({"REGISTRY", "LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES", "WELFARE"})
OTHERS = ("heirs", "parents", "holder", "onBehalfOf")
"""Fields that lead to somebody else's data."""
ONLY_AT_HIGH = "Person.maskedRegistrationNumber"
FOLLOWS = frozenset({"EstateCase.status", "BirthCase.status"})
"""What is said of the answer as a whole: PARTIAL when an agency may not be asked."""
WITHOUT_LOG = re.compile(r"accessLog\(first: 20\) \{.*?totalCount\s*\}", re.DOTALL)
DOCUMENTS = {
    "ESTATE": WITHOUT_LOG.sub("", ESTATE).replace(ENTRY, ""),
    "BIRTH": WITHOUT_LOG.sub("", BIRTH).replace(ENTRY, ""),
}


@dataclass(frozen=True)
class SignIn:
    """How somebody signed in."""

    assurance: str
    ago_s: int = 0

    @property
    def level(self) -> int:
        return ("low", "substantial", "high").index(self.assurance)


SIGN_INS = (SignIn("low"), SignIn("substantial"), SignIn("high", 1200), SignIn("high"))


@dataclass(frozen=True)
class Entitled:
    """A persona with a case: on which rows it stands, and what a court named for it."""

    persona: str
    kind: str
    rows: tuple[str, ...]
    order: str | None = None
    child: int | None = None


ENTITLED = (
    Entitled("heir", "ESTATE", ("D01", "D02", "D03", "D04")),
    Entitled("heir-in-debt", "ESTATE", ("D01", "D02", "D03", "D04")),
    Entitled("heir-second-rank", "ESTATE", ("D06",)),
    Entitled("heir-substitute", "ESTATE", ("D09",)),
    Entitled("parent", "BIRTH", ("D23", "D24")),
    Entitled("parent-of-twins", "BIRTH", ("D23", "D24"), child=0),
    Entitled("parent-of-twins", "BIRTH", ("D23", "D24"), child=1),
    Entitled("protected-birth", "BIRTH", ("D27",), order="PRESENCE..AMOUNT"),
)
STRANGERS = (
    "renounced", "executor", "proxy", "stranger", "protected-person", "parent",
    "other-office", "curious-official", "privacy-officer",
)  # fmt: skip


OTHER_OFFICIALS = ("other-office", "curious-official", "welfare-officer", "privacy-officer")
PICTURES = ("EstateCase", "BirthCase", "EstateSummary", "AgencyTotal", "EstateOutlook", "Answer")
"""What is made for the viewer out of what the viewer may see."""


@dataclass(frozen=True)
class Cell:
    """One coordinate of a document, and whose it is."""

    coordinate: str
    agency: str
    sensitivity: str
    third_party: bool
    about_another: bool


# ---------------------------------------------------------------- the table


def table() -> dict[str, dict[str, str]]:
    """The decision table by row."""
    with TABLE.open(encoding="utf-8") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def agencies(said: str) -> frozenset[str]:
    """`all`, `all but HEALTH`, or names."""
    if said.startswith("all"):
        return AGENCIES - set(said.split()[2:])
    return frozenset(said.split())


def levels(said: str) -> frozenset[str]:
    """`PRESENCE..AMOUNT`, or one level, whoever it is of."""
    first, _, last = said.split(maxsplit=1)[0].partition("..")
    return frozenset(LEVELS[LEVELS.index(first) : LEVELS.index(last or first) + 1])


@dataclass(frozen=True)
class Grant:
    """What a row allows, from which assurance on, and what it answers otherwise."""

    agencies: frozenset[str]
    levels: frozenset[str]
    level: int
    fresh: bool
    refusal: str


def grants(rows: Mapping[str, Mapping[str, str]], name: str, order: str | None = None) -> Iterator[Grant]:
    """A row, or the rows that it points at."""
    row = rows[name]
    if name in {"D06", "D09"}:  # as rank 1, as the rank represented
        for other in ("D01", "D02", "D03", "D04"):
            yield from grants(rows, other)
        return
    conditions = row["conditions"]
    while match := re.search(r"as (D\d\d)", conditions):
        conditions = conditions.replace(match[0], rows[match[1]]["conditions"])
    yield Grant(
        agencies("all" if order else row["agencies"]),
        levels(order or row["sensitivity"]),
        2 if "assurance=HIGH" in conditions else 1,  # nothing is opened at LOW
        "15 min" in conditions,
        row["refusal"] if order else "STEP_UP_REQUIRED",
    )


def expected(rows: Mapping[str, Mapping[str, str]], who: Entitled, how: SignIn, cell: Cell) -> tuple[str, str | None]:
    """shown, masked or withheld, and the code that goes with it."""
    if how.level == 0:
        return "withheld", "STEP_UP_REQUIRED"
    named = ("D42",) if cell.about_another and who.kind == "ESTATE" else who.rows
    found = [grant for name in named for grant in grants(rows, name, who.order)]
    lowest = {"PRESENCE"} if named == ("D42",) else set()
    fitting = [each for each in found if cell.agency in each.agencies and cell.sensitivity in each.levels | lowest]
    if not fitting:
        return "withheld", found[0].refusal if who.order else "OUT_OF_SCOPE"
    met = any(how.level >= each.level and (not each.fresh or how.ago_s <= 900) for each in fitting)
    if not met or (cell.coordinate == ONLY_AT_HIGH and how.level < 2):
        return "withheld", "STEP_UP_REQUIRED"
    return ("masked", rows["D32"]["refusal"]) if cell.third_party else ("shown", None)


# ---------------------------------------------------------------- documents and answers


def third_parties(graph: Graph) -> set[str]:
    """Coordinates whose value is a name of somebody else."""
    found = set()
    for definition in graph.document.definitions:
        for field in getattr(definition, "fields", None) or ():
            for directive in field.directives or ():
                given = {each.name.value: each.value for each in directive.arguments}
                if directive.name.value == "disclosure" and getattr(given.get("thirdParty"), "value", False):
                    found.add(f"{definition.name.value}.{field.name.value}")
    return found


class Cells:
    """The cells of a document, and what an answer has in each."""

    def __init__(self, graph: Graph, document: str) -> None:
        self.graph = graph
        self.reader = _Reader(graph.schema, parse(document))
        self.third = third_parties(graph)
        self.all: dict[Cell, list[Any]] = {}
        self._visit(self.reader.root, self.reader.operation.selection_set, None, another=False, into=self.all)

    def of(self, data: Any) -> dict[Cell, list[Any]]:
        """The values of an answer in each cell, in their order."""
        into: dict[Cell, list[Any]] = {}
        self._visit(self.reader.root, self.reader.operation.selection_set, data, another=False, into=into)
        return into

    def _visit(
        self,
        parent: GraphQLObjectType,
        selections: SelectionSetNode,
        data: Any,
        *,
        another: bool,
        into: dict[Cell, list[Any]],
    ) -> None:
        for node in self.reader._flat(selections):
            name = node.name.value
            coordinate = f"{parent.name}.{name}"
            value = None if data is None else data[name]
            said = self.graph.disclosures.get(coordinate)
            if said and parent.name not in INHERITED:
                cell = Cell(coordinate, *said, coordinate in self.third, another)
                into.setdefault(cell, []).append(value)
            if node.selection_set:
                inner = get_named_type(parent.fields[name].type)
                assert isinstance(inner, GraphQLObjectType)
                for each in (value or [None]) if isinstance(value, list) else [value]:
                    self._visit(inner, node.selection_set, each, another=another or name in OTHERS, into=into)


def is_masked(value: Any) -> bool:
    return value is None or bool(re.fullmatch(r".\*\*", value))


def flat(value: Any) -> Any:
    """A leaf, or that something is there."""
    return type(value).__name__ if isinstance(value, dict | list) else value


def asked(onestop: Onestop, who: Entitled, how: SignIn) -> Reply:
    asker = onestop.as_(who.persona)
    case = None if who.child is None else onestop.case(who.persona, who.child)["child"]["name"]
    return onestop.as_(who.persona, how.assurance, how.ago_s).ask(DOCUMENTS[who.kind], {"id": asker.case(case)})


def taken(onestop: Onestop, applicant: str) -> str:
    """The id of the applicant's case, asked for at the counter of the case officer."""
    about = onestop.case(applicant)
    officer = onestop.at_counter_of("case-officer", applicant)
    who = about.get("deceased") or about["child"]
    named = {"name": who["name"], "birthDate": who["birthDate"], "registrationNumber": who["registrationNumber"]}
    opened = officer.open_estate(deceased=named) if "deceased" in about else officer.open_birth(child=named)
    assert opened["refusal"] is None
    return str(opened["case"]["id"])


@pytest.fixture(scope="module")
def cells(graph: Graph) -> Mapping[str, Cells]:
    return {kind: Cells(graph, document) for kind, document in DOCUMENTS.items()}


def wrong_cells(onestop: Onestop, who: Entitled, cells: Cells) -> tuple[list[str], Counter[str]]:
    """Cells that are not as the table has them, and how many there were of each kind."""
    rows, wrong, seen = table(), [], Counter[str]()
    member = f"{who.kind.lower()}Case"
    whole = cells.of(asked(onestop, who, SIGN_INS[-1]).data)
    for how in SIGN_INS:
        reply = asked(onestop, who, how)
        case = reply.json["data"][member]
        refused = [] if case else [reply.code]
        withheld = {} if case is None else {each["coordinate"]: each for each in case["withheld"]}
        here = cells.of(reply.json["data"])
        for cell in cells.all:
            state, code = expected(rows, who, how, cell)
            seen[state] += 1
            values = here.get(cell, [])
            said = withheld.get(cell.coordinate)
            if state == "withheld":
                codes = refused or [said["refusal"]["code"]] if refused or said else []
                right = codes == [code] and all(value in (None, [], "UNKNOWN") for value in values)
                right &= said is None or said["sensitivity"] == cell.sensitivity
            else:
                right = case is not None and said is None
                right &= cell.coordinate in FOLLOWS or list(map(flat, values)) == list(map(flat, whole[cell]))
                right &= state == "shown" or all(map(is_masked, values))
            if not right:
                wrong.append(f"{who.persona} {how} {cell}: {state} {code}, but {said or refused} {values[:3]}")
    return wrong, seen


def test_every_cell_of_the_decision_table_is_as_the_table_has_it(onestop: Onestop, cells: Mapping[str, Cells]) -> None:
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    for who in ENTITLED:
        found, counted = wrong_cells(onestop, who, cells[who.kind])
        wrong += found
        seen += counted
    assert not wrong, "\n".join(wrong[:40])
    assert seen.total() >= 2000
    assert min(seen["shown"], seen["withheld"]) >= 500
    assert seen["masked"] > 10


OFFICERS = (
    Entitled("case-officer", "ESTATE", ("D15", "D16")),
    Entitled("case-officer", "BIRTH", ("D17",)),
)
APPLICANTS = {"ESTATE": "heir", "BIRTH": "parent"}


def expected_of_officer(
    rows: Mapping[str, Mapping[str, str]], who: Entitled, how: SignIn, cell: Cell
) -> tuple[str, str | None]:
    """The same for the officer of a case that was taken with the applicant's consent."""
    found = [grant for name in who.rows for grant in grants(rows, name)]
    if how.level < found[0].level:
        return "withheld", "STEP_UP_REQUIRED"
    if (
        who.kind == "BIRTH"
        and cell.agency == rows["D18"]["agencies"]
        and cell.sensitivity == rows["D18"]["sensitivity"]
    ):
        return "withheld", rows["D18"]["refusal"]
    fitting = [each for each in found if cell.agency in each.agencies and cell.sensitivity in each.levels]
    if not fitting or (cell.about_another and who.kind == "ESTATE"):
        return "withheld", "OUT_OF_SCOPE"
    if cell.coordinate == ONLY_AT_HIGH and how.level < 2:
        return "withheld", "STEP_UP_REQUIRED"
    return ("masked", rows["D32"]["refusal"]) if cell.third_party else ("shown", None)


@pytest.mark.parametrize("who", OFFICERS, ids=lambda who: who.kind)
def test_every_cell_of_an_officers_case_is_as_the_table_has_it(
    office: Onestop, cells: Mapping[str, Cells], who: Entitled
) -> None:
    applicant, member = APPLICANTS[who.kind], f"{who.kind.lower()}Case"
    case_id = taken(office, applicant)
    own = cells[who.kind].of(office.as_(applicant).ask(DOCUMENTS[who.kind], {"id": case_id}).data)
    others = {cell.coordinate for cell in cells[who.kind].all if cell.about_another}
    wrong, seen = [], Counter[str]()
    for how in SIGN_INS:
        reply = office.as_(who.persona, how.assurance, how.ago_s).ask(DOCUMENTS[who.kind], {"id": case_id})
        case = reply.json["data"][member]
        withheld = {} if case is None else {each["coordinate"]: each["refusal"]["code"] for each in case["withheld"]}
        here = cells[who.kind].of(reply.json["data"])
        for cell in cells[who.kind].all:
            state, code = expected_of_officer(table(), who, how, cell)
            seen[state] += 1
            values, said = here.get(cell, []), reply.code if case is None else withheld.get(cell.coordinate)
            if state == "withheld" and case is not None and cell.coordinate == "EstateHealth.answer":
                right = [each["status"] for each in values] == ["REFUSED"]  # that nobody was asked, and no more
            elif state == "withheld":
                right = said == code and all(value in (None, [], "UNKNOWN") for value in values)
            else:
                right = (said is None or cell.coordinate in others) and (
                    state == "shown" or all(map(is_masked, values))
                )
                if cell.coordinate.partition(".")[0] not in {"Mandate", *PICTURES}:  # not the viewer's own
                    right &= sorted(map(str, map(flat, values))) == sorted(map(str, map(flat, own[cell])))
            if not right:
                wrong.append(f"{how} {cell}: {state} {code}, but {said} {values[:3]}, and {own.get(cell, [])[:3]}")
    assert not wrong, "\n".join(wrong[:40])
    assert min(seen["shown"], seen["withheld"]) >= 100


def test_what_ends_an_officers_right_ends_every_cell(office: Onestop, cells: Mapping[str, Cells]) -> None:
    for who in OFFICERS:
        case_id = taken(office, APPLICANTS[who.kind])
        with office.off_duty("case-officer"):
            refused = [office.as_("case-officer").ask(DOCUMENTS[who.kind], {"id": case_id})]
        refused += [office.as_(each).ask(DOCUMENTS[who.kind], {"id": case_id}) for each in OTHER_OFFICIALS]
        for reply in refused:
            assert reply.code == "NOT_ACCESSIBLE"
            assert {value for values in cells[who.kind].of(reply.json["data"]).values() for value in values} == {None}


def test_who_has_no_row_sees_no_cell(onestop: Onestop, cells: Mapping[str, Cells]) -> None:
    case_id = onestop.as_("heir").case()
    for persona in STRANGERS:
        for how in SIGN_INS:
            reply = onestop.as_(persona, how.assurance, how.ago_s).ask(DOCUMENTS["ESTATE"], {"id": case_id})
            assert (persona, reply.code) == (persona, "NOT_ACCESSIBLE")
            assert {value for values in cells["ESTATE"].of(reply.json["data"]).values() for value in values} == {None}
