"""The sequencer: sizes around the borders of tiles, ends of the world at every step, two at once, stores that lie."""

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from audit import sequencer as sequencing
from audit import tree
from audit.checkpoint import Checkpoint, CheckpointError, VerifierKey, origin, signed, verified
from audit.entry import leaf_hash
from audit.sequencer import ForkError, Step
from audit.tiles import Disk, Published, Shelf

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("leaves", HERE / "leaves.py")
assert _spec
assert _spec.loader
leaves = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(leaves)

BORDERS = (0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Any]:
    async with leaves.leaves_in(url) as opened:
        yield opened


@pytest.fixture
async def file(sqlite_url: str) -> AsyncIterator[Any]:
    """Give a test the store in a file."""
    async with leaves.leaves_in(sqlite_url) as opened:
        yield opened


def expected(size: int) -> dict[str, bytes]:
    """What has to lie in the folder, from the definitions."""
    all_ = [leaves.leaf_of(number) for number in range(size)]
    rows = [[leaf_hash(leaf) for leaf in all_]]
    while len(rows[-1]) >= 256:
        row = rows[-1]
        rows.append([tree.complete(row[at : at + 256]) for at in range(0, len(row) - 255, 256)])
    found = {}
    for tile in tree.tiles(size):
        begin, end = tile.index * 256, tile.index * 256 + tile.width
        if tile.level == tree.ENTRIES:
            found[tile.path] = tree.bundle(all_[begin:end])
        else:
            found[tile.path] = b"".join(rows[tile.level][begin:end])
    return found


def lying(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "lock" and not file.name.startswith("log.db")
    }


def head(folder: Path, epoch: str) -> Checkpoint:
    return verified((folder / "checkpoint").read_bytes(), VerifierKey(origin(epoch), leaves.KEY.public_key()))


def assert_sound(folder: Path, epoch: str, size: int) -> None:
    assert head(folder, epoch) == Checkpoint(origin(epoch), size, leaves.root_of(range(size)))
    shelf = Shelf(folder)
    for path, data in expected(size).items():
        tile = tree.tile(path)
        assert tile
        assert shelf.tile(tile) == data, path


@pytest.mark.parametrize("size", BORDERS)
async def test_a_log_of_any_size_becomes_exactly_its_tiles(file: Any, size: int, tmp_path: Path) -> None:
    await file.add(0, size) if size else None
    sequencer = file.sequencer(tmp_path / "tiles")
    step = await sequencer.step()
    while not step.is_complete:
        step = await sequencer.step()
    note = signed(Checkpoint(origin(file.epoch), size, leaves.root_of(range(size))), leaves.KEY)
    assert lying(tmp_path / "tiles") == expected(size) | {"checkpoint": note.encode()}


async def test_a_log_grows_across_borders_on_either_store(store: Any, tmp_path: Path) -> None:
    sequencer = store.sequencer(tmp_path / "tiles", tmp_path / "second")
    before = 0
    for size in (1, 3, 255, 256, 257, 300, 511, 512, 513, 1025, 3000):
        await store.add(before, size)
        assert (await sequencer.step()).is_complete
        assert_sound(tmp_path / "tiles", store.epoch, size)
        assert head(tmp_path / "second", store.epoch).size == size
        before = size
    narrower = {path for path in lying(tmp_path / "tiles") if ".p/" in path}
    assert {path for path in narrower if "/000.p/" in path and "tile/1" not in path} == set()


async def test_nothing_new_writes_nothing(file: Any, tmp_path: Path) -> None:
    await file.add(0, 300)
    await file.sequencer(tmp_path / "tiles", tmp_path / "second").step()
    counting = Ending(10**9, half=False)
    assert (await file.sequencer(tmp_path / "tiles", tmp_path / "second", counting).step()).is_complete
    assert counting.done == 0


class Ended(BaseException):
    """The end of the world."""


class Ending(Disk):
    """Raises at the n-th operation, before it or, of a write, in its midst."""

    def __init__(self, last: int, *, half: bool) -> None:
        self.last = last
        self.half = half
        self.done = 0

    def _count(self) -> None:
        self.done += 1
        if self.done > self.last:
            raise Ended

    def make(self, folder: Path) -> None:
        self._count()
        super().make(folder)

    def write(self, draft: Path, data: bytes) -> None:
        if self.half and self.done == self.last:
            draft.write_bytes(data[: len(data) // 2])
        self._count()
        super().write(draft, data)

    def rename(self, draft: Path, file: Path) -> None:
        self._count()
        super().rename(draft, file)

    def sync(self, folder: Path) -> None:
        self._count()
        super().sync(folder)

    def remove(self, file: Path) -> None:
        self._count()
        super().remove(file)


@pytest.mark.parametrize("half", [False, True], ids=["before", "amid"])
async def test_an_end_at_any_file_operation_is_made_good_by_the_next_step(
    file: Any, tmp_path: Path, *, half: bool
) -> None:
    """From 250 to 515 leaves: two tiles fill, narrower ones go, both checkpoints are replaced."""
    await file.add(0, 250)
    whole = tmp_path / "whole"
    await file.sequencer(whole / "tiles", whole / "second").step()
    await file.add(250, 515)
    await file.sequencer(whole / "tiles", whole / "second").step()
    wanted = lying(whole)

    last, ended = 0, True
    while ended:
        at = tmp_path / f"{half}-{last}"
        shutil.copytree(before_of(tmp_path, file), at)
        disk = Ending(last, half=half)
        try:
            await file.sequencer(at / "tiles", at / "second", disk).step()
            ended = False
        except Ended:
            published = head(at / "tiles", file.epoch).size
            assert_sound(at / "tiles", file.epoch, published)
            assert head(at / "second", file.epoch).size >= published
        assert (await file.sequencer(at / "tiles", at / "second").step()).is_complete
        assert lying(at) == wanted
        last += 1
    assert last > 30


def before_of(tmp_path: Path, file: Any) -> Path:
    """The folders as they were at 250 leaves."""
    folder = tmp_path / "before"
    if not folder.exists():
        shelf = Shelf(folder / "tiles")
        note = signed(Checkpoint(origin(file.epoch), 250, leaves.root_of(range(250))), leaves.KEY).encode()
        shelf.keep(expected(250) | {"checkpoint": note})
        Shelf(folder / "second").keep({"checkpoint": note})
    return folder


GROWTH = ((1, 255, 1), (700, 3), (100,), (256, 256, 256, 1), (3, 3, 3), (1000, 24), (1,), (5000, 1, 100))


async def test_processes_killed_at_random_leave_one_history(file: Any, tmp_path: Path) -> None:
    """Two at a time on one folder, killed when the log has just grown and both are about to notice."""
    size, kills = 0, 0
    command = [str(HERE / "leaves.py"), file.url, file.epoch, str(tmp_path / "tiles"), str(tmp_path / "second")]
    for growth in GROWTH:
        pair = [
            await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=asyncio.subprocess.PIPE, cwd=HERE.parents[1], env={"PYTHONPATH": "."}
            )
            for _ in range(2)
        ]
        for each in pair:
            assert each.stdout
            assert await each.stdout.readline()
        for more in growth:
            await file.add(size, size + more)
            size += more
        for each in pair:
            each.kill()
            await each.communicate()
            assert each.returncode == -9
            kills += 1
        published = head(tmp_path / "tiles", file.epoch)
        assert published.root == leaves.root_of(range(published.size))
        assert head(tmp_path / "second", file.epoch).size >= published.size
    assert kills == 2 * len(GROWTH)
    assert (await file.sequencer(tmp_path / "tiles", tmp_path / "second").step()).is_complete
    assert_sound(tmp_path / "tiles", file.epoch, size)


async def test_two_at_once_do_not_both_take_a_step(store: Any, tmp_path: Path) -> None:
    await store.add(0, 5000)
    pair = [store.sequencer(tmp_path / "tiles", tmp_path / "second") for _ in range(2)]
    steps: list[Step | None] = list(await asyncio.gather(*(each.step() for each in pair for _ in range(3))))
    assert any(step is None for step in steps)
    assert any(step is not None for step in steps)
    assert (await pair[1].step()).is_complete
    assert_sound(tmp_path / "tiles", store.epoch, 5000)


async def test_machines_with_folders_of_their_own_sign_one_history(store: Any, tmp_path: Path) -> None:
    await store.add(0, 700)
    assert (await store.sequencer(tmp_path / "one", tmp_path / "second").step()).is_complete
    await store.add(700, 900)
    assert (await store.sequencer(tmp_path / "two", tmp_path / "second").step()).is_complete
    assert (await store.sequencer(tmp_path / "one", tmp_path / "second").step()).is_complete
    assert lying(tmp_path / "one").items() >= lying(tmp_path / "two").items()


async def without_guard(store: Any, *statements: str) -> None:
    """What somebody with the store's password can do."""
    is_sqlite = store.url.startswith("sqlite")
    guards = (
        ["DROP TRIGGER leaf_no_update", "DROP TRIGGER leaf_no_delete"] if is_sqlite
        else ["DROP TRIGGER leaf_append_only ON leaf"]
    )  # fmt: skip
    async with store.engine.begin() as connection:
        for statement in (*guards, *statements):
            await connection.execute(text(statement))


async def refused(sequencer: Any, because: str, folder: Path) -> None:
    before = lying(folder)
    for _ in range(2):
        with pytest.raises(ForkError, match=because):
            await sequencer.step()
    assert lying(folder) == before


async def test_a_store_that_was_rolled_back_is_refused(store: Any, tmp_path: Path) -> None:
    await store.add(0, 300)
    sequencer = store.sequencer(tmp_path / "tiles")
    await sequencer.step()
    await without_guard(store, "DELETE FROM leaf WHERE leaf_index >= 290")
    await refused(sequencer, "rolled back", tmp_path)


async def test_a_store_that_was_rolled_back_and_grew_again_is_refused(store: Any, tmp_path: Path) -> None:
    await store.add(0, 300)
    sequencer = store.sequencer(tmp_path / "tiles")
    await sequencer.step()
    await without_guard(
        store,
        "DELETE FROM leaf WHERE leaf_index >= 290",
        "INSERT INTO leaf SELECT leaf_index + 290, leaf FROM leaf WHERE leaf_index < 100",
    )
    await refused(sequencer, "not those that were signed", tmp_path)


async def test_store_and_folder_rolled_back_together_are_betrayed_by_the_second_place(
    file: Any, tmp_path: Path
) -> None:
    await file.add(0, 300)
    await file.sequencer(tmp_path / "tiles").step()
    older = lying(tmp_path / "tiles")
    await file.add(300, 600)
    await file.sequencer(tmp_path / "tiles", tmp_path / "second").step()
    await without_guard(file, "DELETE FROM leaf WHERE leaf_index >= 300")
    shutil.rmtree(tmp_path / "tiles")
    Shelf(tmp_path / "tiles").keep(older)
    assert (await file.sequencer(tmp_path / "tiles").step()).is_complete  # it cannot know
    await refused(file.sequencer(tmp_path / "tiles", tmp_path / "second"), "rolled back", tmp_path)


async def test_a_log_rewritten_before_the_edge_is_refused_when_its_folder_was_lost(file: Any, tmp_path: Path) -> None:
    await file.add(0, 600)
    await file.sequencer(tmp_path / "tiles", tmp_path / "second").step()
    shutil.rmtree(tmp_path / "tiles")
    await without_guard(
        file, "UPDATE leaf SET leaf = (SELECT leaf FROM leaf WHERE leaf_index = 9) WHERE leaf_index = 8"
    )
    with pytest.raises(ForkError, match="not those that were signed"):
        await file.sequencer(tmp_path / "tiles", tmp_path / "second").step()
    assert lying(tmp_path / "tiles") == {}


async def test_a_lost_folder_is_made_again_up_to_the_second_place(
    file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencing, "STEP", 300)
    await file.add(0, 1000)
    sequencer = file.sequencer(tmp_path / "tiles", tmp_path / "second")
    sizes = [(await sequencer.step()).checkpoint.size for _ in range(4)]
    assert sizes == [300, 600, 900, 1000]
    shutil.rmtree(tmp_path / "tiles")
    assert (await sequencer.step()).is_complete
    assert_sound(tmp_path / "tiles", file.epoch, 1000)


async def test_a_missing_leaf_is_refused(file: Any, tmp_path: Path) -> None:
    await file.add(0, 10)
    await file.add(11, 20)
    with pytest.raises(ForkError, match="missing"):
        await file.sequencer(tmp_path / "tiles").step()


@pytest.mark.parametrize("where", ["tiles", "second"])
async def test_two_histories_of_one_size_are_refused(file: Any, where: str, tmp_path: Path) -> None:
    await file.add(0, 300)
    sequencer = file.sequencer(tmp_path / "tiles", tmp_path / "second")
    await sequencer.step()
    other = signed(Checkpoint(origin(file.epoch), 300, bytes(32)), leaves.KEY)
    (tmp_path / where / "checkpoint").write_text(other)
    await refused(sequencer, "two checkpoints", tmp_path)


async def test_a_checkpoint_of_another_log_or_key_is_not_written_over(file: Any, tmp_path: Path) -> None:
    other = signed(Checkpoint(origin("another"), 3, bytes(32)), leaves.KEY)
    Shelf(tmp_path / "second").keep({"checkpoint": other.encode()})
    with pytest.raises(CheckpointError, match="second/checkpoint"):
        await file.sequencer(tmp_path / "tiles", tmp_path / "second").step()
    assert (tmp_path / "second" / "checkpoint").read_text() == other


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(len(file.read_bytes())))


@pytest.mark.parametrize("harm", [torn, zeroed, Path.unlink])
@pytest.mark.parametrize("path", ["tile/1/000.p/3", "tile/0/001"])
async def test_a_torn_tile_is_mended(file: Any, tmp_path: Path, path: str, harm: Callable[[Path], None]) -> None:
    """The one at the edge when it is next needed, an older one when a proof stumbles over it."""
    await file.add(0, 900)
    folder = tmp_path / "tiles"
    sequencer = file.sequencer(folder, tmp_path / "second")
    await sequencer.step()
    harm(folder / path)
    reading = Published(folder, VerifierKey(origin(file.epoch), leaves.KEY.public_key()), sequencer.mend)
    wanted = [(300, leaf_hash(leaves.leaf_of(300))), (900, leaf_hash(leaves.leaf_of(900)))]
    assert reading.covered(wanted) == [None, None]
    await file.add(900, 901)
    assert (await sequencer.step()).is_complete
    assert_sound(folder, file.epoch, 901)
    proofs = reading.covered(wanted)
    for (index, hashed), proof in zip(wanted, proofs, strict=True):
        assert proof
        assert proof.checkpoint.size == 901
        assert tree.is_included(hashed, index, 901, proof.path, proof.checkpoint.root)
