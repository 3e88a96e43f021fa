"""The Merkle tree over the leaves: hashes, roots, proofs and where tiles lie. Pure; nothing is read or written here.

Sources: RFC 6962, 2.1 (hashes, tree shape) and RFC 9162, 2.1.3-2.1.4 (proofs and how they are checked);
c2sp.org/tlog-tiles (tiles of height 8, their paths, entry bundles).

A node is named by height and index: node (h, i) is the root over the 2^h leaves from i * 2^h on, so (0, i) is the hash
of leaf i (`audit.entry.leaf_hash`). Trees of any size share these nodes, which is why they are what tiles hold.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
ENTRIES = -1
"""Level of the bundles, which hold the leaves themselves."""
EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeAt = Callable[[int, int], bytes]
"""The hash of node (height, index)."""

TILE_PATH = re.compile(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962, 2.1: an inner node is hashed behind a one."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Range:
    """A tree that grows by one leaf at a time and keeps only its peaks: the roots of its complete subtrees.

    `Range(peaks, size)` goes on from a tree of that size.
    """

    def __init__(self, peaks: Iterable[bytes] = (), size: int = 0) -> None:
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(self._peaks)}")

    def append(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        size, hashed = self.size, leaf
        while size & 1:
            hashed = node_hash(self._peaks.pop(), hashed)
            size >>= 1
        self._peaks.append(hashed)
        self.size += 1

    @property
    def root(self) -> bytes:
        return _joined(self._peaks)


def root(size: int, at: NodeAt) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return _joined([at(*peak) for peak in peaks(0, size)])


def peaks(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The fewest complete nodes that cover leaves begin to end (excluded), from left to right."""
    while begin < end:
        aligned = (begin & -begin).bit_length() - 1 if begin else 64
        height = min(aligned, (end - begin).bit_length() - 1)
        yield height, begin >> height
        begin += 1 << height


def inclusion(index: int, size: int, at: NodeAt) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, leaf to root (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + _left(end - begin)
        if index < middle:
            path.append(_spanned(middle, end, at))
            end = middle
        else:
            path.append(_spanned(begin, middle, at))
            begin = middle
    return path[::-1]


def consistency(old: int, new: int, at: NodeAt) -> list[bytes]:
    """The proof that the tree of `new` leaves begins with that of `old` leaves (RFC 9162, 2.1.4.1)."""
    if not 0 < old <= new:
        raise ValueError(f"no proof leads from {old} to {new} leaves")
    path, begin, end = [], 0, new
    while old < end:
        middle = begin + _left(end - begin)
        if old <= middle:
            path.append(_spanned(middle, end, at))
            end = middle
        else:
            path.append(_spanned(begin, middle, at))
            begin = middle
    if begin:  # otherwise the old tree is a node of the new one, and its root is known to whoever checks
        path.append(_spanned(begin, end, at))
    return path[::-1]


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path leads from a leaf's hash to the root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, hashed = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            hashed = node_hash(step, hashed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hashed = node_hash(hashed, step)
        at, last = at >> 1, last >> 1
    return last == 0 and hashed == root


def is_consistent(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the proof shows that one tree begins with the other (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not path and old_root == new_root
    steps = [old_root, *path] if old.bit_count() == 1 else list(path)
    if not 0 < old < new or not steps:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, step)
        at, last = at >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


@dataclass(frozen=True, slots=True)
class Tile:
    """`width` hashes of height 8 * level from index * 256 on; on level ENTRIES as many leaves."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Below the log's prefix; 1234067 is x001/x234/067, and what is not full says how wide it is."""
        digits = f"{self.index:03}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{name}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def tile(path: str) -> Tile | None:
    """The tile with this path. None when it is not written exactly as a tile's path is."""
    found = TILE_PATH.fullmatch(path)
    if found is None:
        return None
    level, index, width = found.groups()
    named = Tile(
        ENTRIES if level == "entries" else int(level),
        int(index.replace("x", "").replace("/", "")),
        TILE_WIDTH if width is None else int(width),
    )
    return named if named.path == path else None


def tiles(size: int) -> Iterator[Tile]:
    """All tiles of a tree, each at its full width or as wide as the tree reaches."""
    level, nodes = 0, size
    while nodes:
        for index in range(-(-nodes // TILE_WIDTH)):
            width = min(TILE_WIDTH, nodes - index * TILE_WIDTH)
            yield Tile(level, index, width)
            if level == 0:
                yield Tile(ENTRIES, index, width)
        level, nodes = level + 1, nodes >> TILE_HEIGHT


def tile_of(height: int, index: int, size: int) -> tuple[Tile, int, int]:
    """The tile of a tree of `size` leaves that holds a node, and which of its hashes, from and to, lie below the node.

    A node of height 8 is a hash of a tile of level 1, and would be the root of a whole tile of level 0 as well.
    """
    level, above = divmod(height, TILE_HEIGHT)
    first = index << above
    number, begin = divmod(first, TILE_WIDTH)
    width = min(TILE_WIDTH, (size >> (level * TILE_HEIGHT)) - number * TILE_WIDTH)
    end = begin + (1 << above)
    if end > width:
        raise ValueError(f"a tree of {size} leaves has no node {index} of height {height}")
    return Tile(level, number, width), begin, end


def complete(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of nodes side by side."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def bundle(leaves: Iterable[bytes]) -> bytes:
    """An entry bundle: each leaf behind its length in 16 bits."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def bundled(data: bytes) -> list[bytes]:
    """The leaves of an entry bundle. Raise ValueError for what is none."""
    leaves, at = [], 0
    while at < len(data):
        begin = at + 2
        at = begin + int.from_bytes(data[at:begin], "big")
        leaves.append(data[begin:at])
    if at != len(data):
        raise ValueError("the bundle ends within a leaf")
    return leaves


def _left(size: int) -> int:
    """How many leaves lie left of the root: the greatest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


def _spanned(begin: int, end: int, at: NodeAt) -> bytes:
    """The root over leaves begin to end, where the part is one that occurs in a tree."""
    return _joined([at(*peak) for peak in peaks(begin, end)])


def _joined(row: Sequence[bytes]) -> bytes:
    """Peaks from left to right as one root."""
    if not row:
        return EMPTY_ROOT
    return reduce(lambda right, left: node_hash(left, right), reversed(row[:-1]), row[-1])
