"""Outside the sandbox an amount needs a token that is bound to its sender (decision table D41)."""

from pathlib import Path

import pytest

from schema.case import CaseKind
from tests.resolvers.world import HUSBAND, WIFE, world_in

AMOUNTS = """query ($id: ID!) {
  estateCase(id: $id) { land { parcels { pnu assessedValue } } withheld { coordinate refusal { code } } }
}"""


@pytest.mark.parametrize("sandbox", [True, False])
async def test_outside_the_sandbox_amounts_need_a_bound_token(tmp_path: Path, *, sandbox: bool) -> None:
    async with world_in(tmp_path, sandbox=sandbox) as world:
        case = await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
        reply = await world.ask(AMOUNTS, {"id": case})
        refused = [{"coordinate": "LandParcel.assessedValue", "refusal": {"code": "STEP_UP_REQUIRED"}}]
        assert reply.data is not None
        assert reply.data["estateCase"]["withheld"] == ([] if sandbox else refused)
