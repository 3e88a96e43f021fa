"""What a worker does not hold in memory: libraries for the few are loaded when the first of the few comes."""

import subprocess
import sys
from pathlib import Path

FOR_THE_FEW = ("polars", "numpy", "fpdf", "fontTools", "PIL")

SERVED = """
import asyncio, sys
from pathlib import Path
import serving.program, serving.server
from schema.case import CaseKind
from serving.watching import Evaluator
from tests.resolvers.world import HUSBAND, WIFE, world_in

async def served():
    async with world_in(Path(sys.argv[1])) as world:
        case = await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
        reply = await world.ask("query($id: ID!) { estateCase(id: $id) { land { answer { status } } } }", {"id": case})
        assert reply.data["estateCase"], reply
        assert await Evaluator(world.house, lambda: 0.0).evaluate_new() == 0

asyncio.run(served())
print(*sys.modules)
"""


def test_answering_a_citizen_and_watching_the_log_load_nothing_that_only_judging_and_printing_need(
    tmp_path: Path,
) -> None:
    run = subprocess.run([sys.executable, "-c", SERVED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert {name for name in run.stdout.split() if name in FOR_THE_FEW} == set()
