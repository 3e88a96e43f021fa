"""Cursors of the access log turn a page for an hour, and are no names for places in the log."""

from datetime import timedelta

from tests.resolvers.world import CLIENT, World

PAGE = "query($after: String) { accessLog(first: 1, after: $after) { pageInfo { endCursor } edges { node { id } } } }"


async def test_a_cursor_is_good_for_an_hour(world: World, husbands: str) -> None:
    await world.ask("query($id: ID!) { estateCase(id: $id) { heirs { person { name } } } }", {"id": husbands})
    first = await world.ask(PAGE)
    assert first.data is not None
    cursor = first.data["accessLog"]["pageInfo"]["endCursor"]
    world.time[0] += timedelta(minutes=59, seconds=59)
    assert (await world.ask(PAGE, {"after": cursor})).errors == []
    world.time[0] += timedelta(seconds=1)
    (error,) = (await world.ask(PAGE, {"after": cursor})).errors
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert "hour" in error["message"]


async def test_an_undated_cursor_is_none_of_ours(world: World) -> None:
    undated = world.house.ids.sealed(CLIENT, "LogCursor", "0")
    (error,) = (await world.ask(PAGE, {"after": undated})).errors
    assert error["extensions"]["code"] == "BAD_INPUT"
