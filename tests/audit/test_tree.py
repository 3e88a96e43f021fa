"""The tree against RFC 6962's own definition, written out as it stands there, and against what others know of it."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import tree
from audit.entry import leaf_hash
from audit.tree import Range, Tile

LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(600)]
SIZES = st.integers(1, 600)

RFC_6962_LEAVES = [
    bytes.fromhex(data)
    for data in (*("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"),)
]
"""The leaves that the Certificate Transparency project tests its trees with, and its roots."""
RFC_6962_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def defined(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + defined(leaves[:k]) + defined(leaves[k:])).digest()


def at(height: int, index: int) -> bytes:
    return defined(LEAVES[index << height : (index + 1) << height])


def range_of(leaves: Sequence[bytes]) -> Range:
    grown = Range()
    for leaf in leaves:
        grown.append(leaf)
    return grown


@pytest.mark.parametrize("size", RFC_6962_ROOTS)
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    grown = range_of([leaf_hash(data) for data in RFC_6962_LEAVES[:size]])
    assert grown.root.hex() == RFC_6962_ROOTS[size]


@given(SIZES)
def test_a_range_has_the_defined_root_at_every_size(size: int) -> None:
    assert range_of(LEAVES[:size]).root == defined(LEAVES[:size]) == tree.root(size, at)


@given(SIZES, st.integers(0, 600))
def test_a_range_goes_on_from_peaks(size: int, more: int) -> None:
    grown = Range([at(*peak) for peak in tree.peaks(0, size)], size)
    for leaf in LEAVES[size : size + more]:
        grown.append(leaf)
    assert grown.root == defined(LEAVES[: size + more])


@given(SIZES.flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_every_leaf_is_proven_and_no_other_in_its_place(sizes: tuple[int, int]) -> None:
    size, index = sizes
    path, root = tree.inclusion(index, size, at), defined(LEAVES[:size])
    assert tree.is_included(LEAVES[index], index, size, path, root)
    assert not tree.is_included(leaf_hash(b"another"), index, size, path, root)
    assert not tree.is_included(LEAVES[index], index + 1, size, path, root)
    assert not tree.is_included(LEAVES[index], index, size, [*path, root], root)
    for altered in range(len(path)):
        assert not tree.is_included(LEAVES[index], index, size, path[:altered] + path[altered + 1 :], root)
        wrong = [*path[:altered], bytes(32), *path[altered + 1 :]]
        assert not tree.is_included(LEAVES[index], index, size, wrong, root)


@given(SIZES.flatmap(lambda new: st.tuples(st.integers(1, new), st.just(new))))
def test_growth_is_proven_and_nothing_else(sizes: tuple[int, int]) -> None:
    old, new = sizes
    path = tree.consistency(old, new, at)
    before, after = defined(LEAVES[:old]), defined(LEAVES[:new])
    assert tree.is_consistent(old, new, path, before, after)
    assert not tree.is_consistent(old, new, path, leaf_hash(before), after)
    assert not tree.is_consistent(old, new, path, before, leaf_hash(after))
    assert not tree.is_consistent(old, new, [*path, before], before, after)
    for altered in range(len(path)):
        wrong = [*path[:altered], bytes(32), *path[altered + 1 :]]
        assert not tree.is_consistent(old, new, wrong, before, after)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(3, 1234067, 8), "tile/3/x001/x234/067.p/8"),
        (Tile(1, 1000), "tile/1/x001/000"),
        (Tile(tree.ENTRIES, 255, 255), "tile/entries/255.p/255"),
    ],
)
def test_a_tile_lies_where_the_specification_says(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tree.tile(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/1", "tile/00/001", "tile/0/x000/001", "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/001.p/01"),
        *("tile/0/../../checkpoint", "tile/-1/000", "tile/0/001/", "/tile/0/001", "tile/0/٠٠١", "tile/0/001\n"),
    ],
)
def test_what_is_not_exactly_a_tiles_path_is_none(path: str) -> None:
    assert tree.tile(path) is None


@given(SIZES.flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_tiles_hold_every_node_of_a_proof(sizes: tuple[int, int]) -> None:
    size, index = sizes
    wanted = set(tree.tiles(size))

    def from_tile(height: int, number: int) -> bytes:
        tile, begin, end = tree.tile_of(height, number, size)
        assert tile in wanted
        unit = tile.level * tree.TILE_HEIGHT
        held = [at(unit, tile.index * tree.TILE_WIDTH + each) for each in range(begin, end)]
        return tree.complete(held)

    assert tree.inclusion(index, size, from_tile) == tree.inclusion(index, size, at)
    assert tree.root(size, from_tile) == defined(LEAVES[:size])


def test_a_bundle_gives_its_leaves_back() -> None:
    leaves = [b"", b"a", b"x" * 38]
    assert tree.bundled(tree.bundle(leaves)) == leaves
    with pytest.raises(ValueError, match="within a leaf"):
        tree.bundled(tree.bundle(leaves)[:-1])
