"""The tree as it lies on disk: tiles, bundles and the newest checkpoint, where a web server could hand them out.

Source: c2sp.org/tlog-tiles. A file appears whole or not at all: it is written as a draft, synced, renamed, and its
folder synced. What was written under a name is never written differently, so all of it can be done again without harm.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audit import tree
from audit.checkpoint import Checkpoint, CheckpointError, VerifierKey, verified
from audit.tree import ENTRIES, HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, Tile

CHECKPOINT: Final = "checkpoint"


class TornError(Exception):
    """A tile is missing, or does not hold what the checkpoint says."""

    code = "LOG_UNAVAILABLE"


class Disk:
    """The few things that are done to files, one by one, so that a test can end the world between any two."""

    def make(self, folder: Path) -> None:
        """Make a folder whose parent is there."""
        folder.mkdir(exist_ok=True)
        self.sync(folder.parent)

    def write(self, draft: Path, data: bytes) -> None:
        """Write a file through to the disk."""
        with draft.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())

    def rename(self, draft: Path, file: Path) -> None:
        """Give a draft its name, whatever had it before."""
        draft.replace(file)

    def sync(self, folder: Path) -> None:
        """Write the names in a folder through to the disk."""
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def remove(self, file: Path) -> None:
        """Remove a file that nobody needs any more."""
        file.unlink(missing_ok=True)


class Shelf:
    """A folder with tiles and a checkpoint. Only who holds the sequencer's lock writes."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or Disk()
        self._draft = folder / f"draft-{os.getpid()}"

    def tidy(self) -> None:
        """Remove what writers left that were killed."""
        for draft in self.folder.glob("draft-*"):
            self._disk.remove(draft)

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Have these contents under these paths, durably, before returning."""
        folders = set()
        for path, data in files.items():
            file = self.folder / path
            if _content(file) != data:
                self._make(file.parent)
                self._disk.write(self._draft, data)
                self._disk.rename(self._draft, file)
            folders.add(file.parent)  # also of what was there: it may have been renamed and never synced
        for folder in folders:
            self._disk.sync(folder)

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make(folder.parent)
            self._disk.make(folder)

    def note(self) -> str | None:
        """The newest checkpoint as it lies here."""
        data = _content(self.folder / CHECKPOINT)
        return None if data is None else data.decode("utf-8", "replace")

    def tile(self, wanted: Tile) -> bytes | None:
        """A tile's content; of a narrower tile, which goes when the full one is there, the beginning of that."""
        data = _content(self.folder / wanted.path)
        if data is not None or wanted.width == TILE_WIDTH:
            return data
        full = _content(self.folder / Tile(wanted.level, wanted.index).path)
        if full is None:
            return None
        if wanted.level != ENTRIES:
            return full[: wanted.width * HASH_BYTES]
        return tree.bundle(tree.bundled(full)[: wanted.width])

    def drop_narrower(self, full: Iterable[Tile]) -> None:
        """Remove the narrower versions of tiles that are full now."""
        for each in full:
            narrower = (self.folder / each.path).with_suffix(".p")
            if narrower.is_dir():
                for file in narrower.iterdir():
                    self._disk.remove(file)
                narrower.rmdir()

    def nodes(self, size: int) -> tree.NodeAt:
        """Nodes of the tree of this size. They are as true as the disk: what comes of them is checked against a root.

        Raise TornError for a tile that is missing or has another length.
        """
        rows: dict[Tile, bytes] = {}

        def at(height: int, index: int) -> bytes:
            tile, begin, end = tree.tile_of(height, index, size)
            if tile not in rows:
                data = self.tile(tile)
                if data is None or len(data) != tile.width * HASH_BYTES:
                    raise TornError(f"{tile.path} is missing or torn")
                rows[tile] = data
            row = rows[tile]
            return tree.complete([row[each * HASH_BYTES : (each + 1) * HASH_BYTES] for each in range(begin, end)])

        return at


class Edge:
    """The right edge of a growing tree: on each level the hashes of the tile that is not full yet."""

    def __init__(self) -> None:
        self.size = 0
        self._rows: list[list[bytes]] = [[]]
        self._bundle: list[bytes] = []

    @classmethod
    def at(cls, size: int, nodes: tree.NodeAt) -> "Edge":
        """The edge of a tree whose size is a multiple of 256, from its nodes."""
        edge = cls()
        edge.size = size
        level = 1
        while count := size >> (level * TILE_HEIGHT):
            first = count - count % TILE_WIDTH
            edge._rows.append([nodes(level * TILE_HEIGHT, index) for index in range(first, count)])
            level += 1
        return edge

    def append(self, leaf: bytes, hashed: bytes) -> dict[Tile, bytes]:
        """Add a leaf, and return the tiles and the bundle that it made full."""
        self._bundle.append(leaf)
        self._rows[0].append(hashed)
        self.size += 1
        full: dict[Tile, bytes] = {}
        if len(self._rows[0]) == TILE_WIDTH:
            full[Tile(ENTRIES, self._number(0) - 1)] = tree.bundle(self._bundle)
            self._bundle = []
        level = 0
        while len(row := self._rows[level]) == TILE_WIDTH:
            full[Tile(level, self._number(level) - 1)] = b"".join(row)
            self._rows[level] = []
            level += 1
            if level == len(self._rows):
                self._rows.append([])
            self._rows[level].append(tree.complete(row))
        return full

    def partial(self) -> dict[Tile, bytes]:
        """The tiles and the bundle that are not full."""
        found = {
            Tile(level, self._number(level), len(row)): b"".join(row) for level, row in enumerate(self._rows) if row
        }
        if self._bundle:
            found[Tile(ENTRIES, self._number(0), len(self._bundle))] = tree.bundle(self._bundle)
        return found

    @property
    def root(self) -> bytes:
        return tree.root(self.size, self._node)

    def _number(self, level: int) -> int:
        return self.size >> (level * TILE_HEIGHT) >> TILE_HEIGHT

    def _node(self, height: int, index: int) -> bytes:
        """Only nodes at the edge are asked for here."""
        level, above = divmod(height, TILE_HEIGHT)
        begin = (index << above) % TILE_WIDTH
        return tree.complete(self._rows[level][begin : begin + (1 << above)])


@dataclass(frozen=True, slots=True)
class Covered:
    """A leaf's place in the tree: the checkpoint that covers it, as signed, and the path from leaf to root."""

    note: str
    checkpoint: Checkpoint
    path: tuple[bytes, ...]


class Published:
    """What was published, for those who want proofs. `on_torn` is called when a tile does not fit the checkpoint."""

    def __init__(self, folder: Path, key: VerifierKey, on_torn: Callable[[], None] = lambda: None) -> None:
        self.key = key
        self._shelf = Shelf(folder)
        self._on_torn = on_torn

    def covered(self, leaves: Iterable[tuple[int, bytes]]) -> list[Covered | None]:
        """For each leaf (index and hash) its proof under the newest checkpoint.

        None where that does not cover it yet, and where no proof can be had since a tile is torn.
        """
        note = self._shelf.note()
        if note is None:
            return [None for _ in leaves]
        try:
            checkpoint = verified(note, self.key)
        except CheckpointError:  # whoever takes the next step says so, loudly
            return [None for _ in leaves]
        nodes = self._shelf.nodes(checkpoint.size)
        return [self._covered(index, hashed, note, checkpoint, nodes) for index, hashed in leaves]

    def size(self) -> int | None:
        """How many leaves the newest checkpoint covers; None where it cannot be believed."""
        note = self._shelf.note()
        try:
            return 0 if note is None else verified(note, self.key).size
        except CheckpointError:
            return None

    def _covered(
        self, index: int, hashed: bytes, note: str, checkpoint: Checkpoint, nodes: tree.NodeAt
    ) -> Covered | None:
        if index >= checkpoint.size:
            return None
        try:
            path = tree.inclusion(index, checkpoint.size, nodes)
        except TornError:
            path = []
        if not tree.is_included(hashed, index, checkpoint.size, path, checkpoint.root):
            self._on_torn()
            return None
        return Covered(note, checkpoint, tuple(path))


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
