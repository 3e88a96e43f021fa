"""The tree's task: how far it is behind, what it says of a store that lies, and its last step."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, text
from structlog.testing import capture_logs

from audit import store
from audit.checkpoint import unverified
from serving import tree as served
from serving.tree import Tree

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


class World:
    """A store with leaves, and a tree over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite+aiosqlite:///{folder}/log.db"
        self.engine = store.writing_engine(self.url, 1000)
        self.epoch = ""

    async def run(self, *statements: str) -> None:
        async with self.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    async def add(self, begin: int, end: int) -> None:
        async with self.engine.connect() as connection, store.writing(connection):
            self.epoch = await store.create(connection, datetime(2026, 3, 1, tzinfo=UTC), bytes(32))
            rows = [{"leaf_index": number, "leaf": number.to_bytes(38, "big")} for number in range(begin, end)]
            await connection.execute(insert(store.LEAF), rows)

    @asynccontextmanager
    async def tree(self) -> AsyncIterator[tuple[Tree, CollectorRegistry]]:
        registry = CollectorRegistry()
        tree = Tree(self.url, self.folder / "tiles", self.folder / "second", KEY, registry)
        await tree.begin(self.epoch)
        try:
            yield tree, registry
        finally:
            await tree.finish()

    @property
    def size(self) -> int:
        return unverified((self.folder / "tiles" / "checkpoint").read_bytes()).size


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.engine.dispose()


async def until(seen: Callable[[], bool]) -> None:
    """Wait for something that is bound to come."""
    for _ in range(1500):
        if seen():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("never seen")


async def test_the_metrics_say_how_far_the_tree_is(world: World) -> None:
    await world.add(0, 300)
    async with world.tree() as (tree, registry):
        assert registry.get_sample_value("onestop_log_covered_leaves") == 300
        assert registry.get_sample_value("onestop_log_refused") == 0
        assert tree.healthy
        await world.add(300, 301)
        await until(lambda: registry.get_sample_value("onestop_log_covered_leaves") == 301)
        assert registry.get_sample_value("onestop_log_leaves") == 301
        behind = registry.get_sample_value("onestop_log_behind_seconds")
        assert behind is not None
        assert behind < served.BEHIND_S


async def test_what_came_after_the_last_step_is_in_the_last_checkpoint(world: World) -> None:
    await world.add(0, 10)
    async with world.tree():
        assert world.size == 10
        await world.add(10, 700)
    assert world.size == 700
    assert unverified((world.folder / "second" / "checkpoint").read_bytes()).size == 700


async def test_processes_that_end_together_leave_nothing_uncovered(world: World) -> None:
    await world.add(0, 10)
    async with world.tree(), world.tree(), world.tree():
        await world.add(10, 900)
    assert world.size == 900


async def test_a_store_that_was_rolled_back_is_refused_loudly_and_after_a_minute_not_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.add(0, 300)
    async with world.tree():
        pass
    await world.run("DROP TRIGGER leaf_no_delete", "DELETE FROM leaf WHERE leaf_index > 200")
    with capture_logs() as logs:
        async with world.tree() as (tree, registry):
            assert registry.get_sample_value("onestop_log_refused") == 1
            assert tree.healthy
            monkeypatch.setattr(served, "BEHIND_S", 0.0)
            assert not tree.healthy
    assert logs[0]["event"] == "log_refused"
    assert "the store has 201 leaves, but 300 were signed: it was rolled back" in logs[0]["reason"]
    assert world.size == 300


async def test_a_folder_that_cannot_be_written_is_told_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "AFTER_FAILURE_S", 0.05)
    await world.add(0, 3)
    (world.folder / "tiles").write_text("a file where the folder should be")
    with capture_logs() as logs:
        async with world.tree() as (_, registry):
            assert logs[0]["event"] == "log_step_failed"
            (world.folder / "tiles").unlink()
            await until(lambda: registry.get_sample_value("onestop_log_covered_leaves") == 3)
