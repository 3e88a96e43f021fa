"""The log says exactly what an answer told: no field more, no field less."""

import json
from typing import Any

import pytest

from tests.journeys.client import Asker, Onestop, Reply
from tests.journeys.documents import BIRTH, CASE_LOG, ESTATE, ONE_ENTRY
from tests.journeys.graph import Graph


def asked(onestop: Onestop, persona: str, document: str, **how: Any) -> Reply:
    """The answer to the big question of a persona."""
    case_id = onestop.as_(persona).case()
    reply = onestop.as_(persona, **how).ask(document, {"id": case_id})
    assert reply.data
    return reply


def looked_up(asker: Asker, reply: Reply) -> list[Any]:
    """The entries that an answer left."""
    return [asker.seen(ONE_ENTRY, id=each)["accessEntry"] for each in reply.entries]


def told(graph: Graph, document: str, data: Any) -> set[str]:
    """Coordinates of the personal data that an answer shows: leaves that are neither null nor an empty list."""
    return {
        field.coordinate
        for field in graph.fields(document, data)
        if field.leaf and field.value is not None and field.value != [] and graph.discloses(field.coordinate)
    }


def named(entries: list[Any], what: str) -> set[str]:
    """All coordinates that entries name as disclosed, or as withheld."""
    return {coordinate for entry in entries for group in entry[what] for coordinate in group["coordinates"]}


@pytest.mark.parametrize(
    "how", [{}, {"assurance": "substantial"}, {"signed_in": 1200}], ids=["HIGH", "SUBSTANTIAL", "stale"]
)
@pytest.mark.parametrize(
    ("persona", "document"),
    [("heir", ESTATE), ("heir-in-debt", ESTATE), ("parent", BIRTH), ("protected-birth", BIRTH)],
)
def test_entries_name_every_field_that_was_shown_and_no_other(
    onestop: Onestop, graph: Graph, persona: str, document: str, how: dict[str, Any]
) -> None:
    reply, high = asked(onestop, persona, document, **how), onestop.as_(persona)
    entries = looked_up(high, reply)
    assert None not in entries
    assert named(entries, "disclosed") == told(graph, document, reply.data)
    (case,) = reply.data.values()
    withheld = {each["coordinate"] for each in case["withheld"]}
    assert named(entries, "withheld") == withheld & graph.leaves(document)
    assert {entry["outcome"] for entry in entries} == ({"DISCLOSED", "PARTIAL"} if withheld else {"DISCLOSED"})


def test_entries_say_of_which_agency_and_how_sensitive(onestop: Onestop, graph: Graph) -> None:
    reply = asked(onestop, "heir", ESTATE)
    entries = looked_up(onestop.as_("heir"), reply)
    groups = [group for entry in entries for group in entry["disclosed"]]
    for group in groups:
        said = [graph.disclosures[each] for each in group["coordinates"] if each in graph.disclosures]
        assert {agency for agency, _ in said} <= {group["agency"]}
        assert {each.partition(".")[0] for each in group["coordinates"]} == {group["type"]}
        assert not said or group["maxSensitivity"] in {sensitivity for _, sensitivity in said}
    case = reply.data["estateCase"]
    records = {group["type"]: group["records"] for group in groups}
    assert records["LandParcel"] == len(case["land"]["parcels"])
    assert records["Deposit"] == len(case["finance"]["deposits"])
    assert records["TaxItem"] == len(case["tax"]["items"])
    assert records["Vehicle"] == len(case["vehicles"]["vehicles"])


def test_a_name_asked_once_is_an_entry_of_its_own(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    case_id = asker.case()
    reply = asker.ask("query Names($id: ID!) { estateCase(id: $id) { heirs { person { name } } } }", {"id": case_id})
    assert len(reply.data["estateCase"]["heirs"]) == 3
    entries = looked_up(asker, reply)
    assert [named([entry], "disclosed") for entry in entries].count({"Person.name"}) == 3


def test_a_lookup_of_ones_own_entry_is_itself_written_down(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    mine = next(each["id"] for each in looked_up(asker, asked(onestop, "heir", ESTATE)) if each["subject"])
    reply = asker.ask(ONE_ENTRY, {"id": mine})
    assert reply.entries
    assert {each["task"] for each in looked_up(asker, reply)} == {"LOG_VIEW"}


def test_a_refused_question_is_in_the_log_of_the_case(onestop: Onestop) -> None:
    asker, reply = onestop.as_("heir"), asked(onestop, "heir", ESTATE)
    case_id = reply.data["estateCase"]["id"]
    refused = onestop.as_("stranger").ask(ESTATE, {"id": case_id})
    (entry_id,) = refused.entries
    found = {
        each["node"]["id"]: each["node"] for each in asker.seen(CASE_LOG, id=case_id)["node"]["accessLog"]["edges"]
    }
    assert (found[entry_id]["outcome"], found[entry_id]["disclosed"]) == ("REFUSED", [])
    assert found[entry_id]["actor"]["name"] is None


def test_the_exported_log_has_every_entry_in_order(onestop: Onestop) -> None:
    reply = asked(onestop, "heir", ESTATE)
    lines = [
        json.loads(each) for each in onestop.command("log", "export", "--data", str(onestop.directory)).splitlines()
    ]
    assert [each["leaf_index"] for each in lines] == sorted(each["leaf_index"] for each in lines)
    assert set(reply.entries) <= {each["id"] for each in lines}
