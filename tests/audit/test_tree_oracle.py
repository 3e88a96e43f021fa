"""Roots as pymerkle, another implementation of RFC 9162, has them."""

from pymerkle import InmemoryTree

from audit.entry import leaf_hash
from audit.tree import Range


def test_pymerkle_agrees_on_every_root() -> None:
    grown, other = Range(), InmemoryTree(algorithm="sha256")
    for number in range(520):
        leaf = number.to_bytes(38, "big")
        grown.append(leaf_hash(leaf))
        other.append_entry(leaf)
        assert grown.root == other.get_root(), grown.size
