"""What the minute task does on a log in which there is nothing to judge."""

from datetime import timedelta

from audit import aid
from schema.case import CaseKind
from serving.watching import LEASE, Evaluator
from tests.resolvers.world import HUSBAND, WIFE, World


async def test_a_tree_that_is_a_minute_behind_becomes_a_finding_once_a_day(world: World) -> None:
    assert await Evaluator(world.house, lambda: 59.9).evaluate_new() == 0
    world.time[0] += timedelta(hours=1)
    behind = Evaluator(world.house, lambda: 61.0)
    assert [await behind.evaluate_new(), await behind.evaluate_new()] == [1, 0]
    (finding,) = await world.house.cases.findings().about(None)
    assert [(each.rule, each.entries) for each in finding.noticed] == [("LOG_GAP", ())]


async def test_what_persons_themselves_looked_at_is_passed_over_once(world: World) -> None:
    case = await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
    await world.ask("query ($id: ID!) { estateCase(id: $id) { number } }", {"id": case})
    house, reviews = world.house, world.house.cases.reviews()
    assert await Evaluator(house, lambda: 0.0).evaluate_new() == 0
    async with house.log.reading.engine.connect() as connection:
        newest = await aid.last(connection)
    assert newest > 0
    assert await reviews.turn(house.log.epoch, "another", house.clock() + 2 * LEASE, LEASE) == newest
