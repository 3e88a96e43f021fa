"""A log whose tree is a minute behind becomes a finding by the machinery itself, once a day."""

from datetime import timedelta

from serving.watching import Evaluator
from tests.resolvers.world import World


async def test_the_minute_task_notices_a_tree_that_is_a_minute_behind(world: World) -> None:
    assert await Evaluator(world.house, lambda: 59.9).evaluate_new() == 0
    world.time[0] += timedelta(hours=1)
    behind = Evaluator(world.house, lambda: 61.0)
    assert [await behind.evaluate_new(), await behind.evaluate_new()] == [1, 0]
    (finding,) = await world.house.cases.findings().about(None)
    assert [(each.rule, each.entries) for each in finding.noticed] == [("LOG_GAP", ())]
