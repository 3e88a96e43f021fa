"""Names of third parties are masked where they come in, whichever agency tells them."""

from collections.abc import Callable, Mapping

import msgspec

from connectors import finance, land, vehicles
from connectors.connector import Asked
from connectors.guard import first_syllable
from schema.disclosure import disclosures
from serving import program
from tests.connectors.wire import question

NAME = "김하늘"


def holder(asked: Asked) -> str | None:
    wire = msgspec.convert({"ownerId": "a", "kind": "MORTGAGE", "holder": NAME}, land._Encumbrance)
    return land._encumbrance(wire, asked).holder


def creditor(asked: Asked) -> str | None:
    lien = {"owner": "a", "plate": "12가3456", "kind": "MORTGAGE", "released_on": None, "creditor": NAME}
    return vehicles._lien(asked, msgspec.convert(lien, vehicles.WireLien)).creditor


def beneficiary(asked: Asked) -> str | None:
    insurer = msgspec.convert({"code": "401", "name": "보험", "sector": "INSURANCE"}, finance._Institution)
    policy = {"reference": "r-1", "product": "종신보험", "role": "INSURED", "beneficiaryName": NAME}
    return finance._Clerk(asked, insurer).policy(msgspec.convert(policy, finance._Policy)).beneficiary_name


TOLD: Mapping[str, Callable[[Asked], str | None]] = {
    "Encumbrance.holder": holder,
    "InsurancePolicy.beneficiaryName": beneficiary,
    "VehicleLien.creditor": creditor,
}


def test_every_third_partys_name_in_the_graph_is_masked_by_its_connector() -> None:
    core = program.schema()._schema
    assert {at for at, said in disclosures(core).items() if said.third_party} == TOLD.keys()
    for coordinate, told in TOLD.items():
        assert told(question("a", coordinate, masked=frozenset({coordinate}))) == first_syllable(NAME) == "김**"
        assert told(question("a", coordinate)) == NAME
        assert told(question("a", masked=frozenset({coordinate}))) is None
