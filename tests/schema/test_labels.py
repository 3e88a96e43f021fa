"""Every field and every word that an entry of the access log may show has a name in both languages."""

import re

import pytest
from graphql import GraphQLEnumType, GraphQLObjectType, GraphQLSchema, get_named_type, is_composite_type

from schema.labels import LABELS, label

HANGUL = re.compile("[가-힣]")
ROOTS = {"Query", "Mutation", "Subscription"}
WORDS = {"Purpose", "Agency", "AccessTask", "AccessOutcome", "Role", "Sensitivity"}


def needed(core: GraphQLSchema) -> set[str]:
    """Types with leaves, their leaves, and the words of entries."""
    found = set()
    for type_ in core.type_map.values():
        if isinstance(type_, GraphQLObjectType) and type_.name not in ROOTS and not type_.name.startswith("__"):
            leaves = [name for name, field in type_.fields.items() if not is_composite_type(get_named_type(field.type))]
            found |= {f"{type_.name}.{name}" for name in leaves} | ({type_.name} if leaves else set())
        if isinstance(type_, GraphQLEnumType) and type_.name in WORDS:
            found |= {type_.name, *(f"{type_.name}.{value}" for value in type_.values)}
    return found


def test_every_field_has_a_label_and_no_label_is_of_nothing(core: GraphQLSchema) -> None:
    assert sorted(needed(core) ^ LABELS.keys()) == []


@pytest.mark.parametrize("name", sorted(LABELS))
def test_a_label_is_in_plain_words_of_its_language(name: str) -> None:
    ko, en = LABELS[name]
    assert HANGUL.search(ko)
    assert en
    assert not HANGUL.search(en)
    assert not re.search(r"[a-z][A-Z]|_", en + ko)


def test_labels_of_one_type_differ() -> None:
    for type_ in {name.partition(".")[0] for name in LABELS}:
        words = [LABELS[name] for name in LABELS if name.startswith(f"{type_}.")]
        assert len({each.ko for each in words}) == len({each.en for each in words}) == len(words), type_


def test_a_field_that_is_no_more_is_called_by_its_coordinate() -> None:
    assert label("Vessel.flag") == ("Vessel.flag", "Vessel.flag")
