"""The two big questions leave nothing out, and fit the limits of the endpoint."""

import pytest

from tests.journeys.documents import BIRTH, ESTATE
from tests.journeys.graph import Graph


@pytest.mark.parametrize(("document", "type_"), [(ESTATE, "EstateCase"), (BIRTH, "BirthCase")])
def test_the_big_question_selects_every_field_that_the_case_leads_to(graph: Graph, document: str, type_: str) -> None:
    assert graph.coordinates(type_) - graph.selected(document) == set()
