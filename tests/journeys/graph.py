"""The graph as `onestop schema` prints it, and what a document reads of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_ast_schema,
    get_named_type,
    is_composite_type,
    parse,
)

INHERITED = frozenset({"Answer", "AnswerProblem", "Fraction"})
"""Shared value types: they disclose what the field discloses that leads to them."""
LEVELS = ("PRESENCE", "IDENTITY", "INVENTORY", "AMOUNT", "SPECIAL")


@dataclass(frozen=True)
class Field:
    """One field of an answer. `value` is what stands there: a leaf, an object, a list."""

    path: tuple[str | int, ...]
    coordinate: str
    leaf: bool
    value: Any


class Graph:
    """Types, and what each field discloses."""

    def __init__(self, printed: str) -> None:
        self.document = parse(printed)
        self.schema: GraphQLSchema = build_ast_schema(self.document)

    @cached_property
    def disclosures(self) -> Mapping[str, tuple[str, str]]:
        """Agency and sensitivity by coordinate, from the field's @disclosure or else its type's."""
        said: dict[str, tuple[str, str]] = {}
        for definition in self.document.definitions:
            for field in getattr(definition, "fields", None) or ():
                found = _disclosure(field) or _disclosure(definition)
                if found:
                    said[f"{_name(definition)}.{_name(field)}"] = found
        return said

    def discloses(self, coordinate: str) -> bool:
        """Whether showing the field is showing somebody's data."""
        return coordinate in self.disclosures or coordinate.partition(".")[0] in INHERITED

    def withheld_below_high(self, coordinate: str) -> bool:
        """Whether an heir without a fresh sign-in at HIGH is not shown the field of the deceased (D01-D04)."""
        if coordinate == "Person.maskedRegistrationNumber":
            return True
        agency, sensitivity = self.disclosures.get(coordinate, ("", "PRESENCE"))
        return LEVELS.index(sensitivity) >= LEVELS.index("INVENTORY" if agency == "HEALTH" else "AMOUNT")

    def coordinates(self, root: str) -> set[str]:
        """Every coordinate of a type and of all the types it leads to."""
        found: set[str] = set()
        waiting, seen = [root], {root}
        while waiting:
            type_ = self.schema.type_map[waiting.pop()]
            assert isinstance(type_, GraphQLObjectType)
            for name, field in type_.fields.items():
                found.add(f"{type_.name}.{name}")
                inner = get_named_type(field.type)
                if is_composite_type(inner) and inner.name not in seen:
                    seen.add(inner.name)
                    waiting.append(inner.name)
        return found

    def selected(self, document: str) -> set[str]:
        """Every coordinate that a document of one query selects."""
        return {coordinate for coordinate, _ in _Reader(self.schema, parse(document)).selected()}

    def leaves(self, document: str) -> set[str]:
        """Those of them that hold a value."""
        return {coordinate for coordinate, leaf in _Reader(self.schema, parse(document)).selected() if leaf}

    def fields(self, document: str, data: Any) -> Iterator[Field]:
        """Every field of the data, from the outside in. For documents whose fields have object types."""
        return _Reader(self.schema, parse(document)).fields(data)


class _Reader:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.schema = schema
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        (self.operation,) = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        assert schema.query_type
        self.root = schema.query_type

    def selected(self) -> Iterator[tuple[str, bool]]:
        yield from self._selected(self.root, self.operation.selection_set)

    def _selected(self, parent: GraphQLObjectType, selections: SelectionSetNode) -> Iterator[tuple[str, bool]]:
        for node in self._flat(selections):
            inner = get_named_type(parent.fields[node.name.value].type)
            yield f"{parent.name}.{node.name.value}", not is_composite_type(inner)
            if node.selection_set:
                assert isinstance(inner, GraphQLObjectType)
                yield from self._selected(inner, node.selection_set)

    def fields(self, data: Any) -> Iterator[Field]:
        yield from self._fields((), self.root, self.operation.selection_set, data)

    def _fields(
        self, path: tuple[str | int, ...], parent: GraphQLObjectType, selections: SelectionSetNode, data: Any
    ) -> Iterator[Field]:
        for node in self._flat(selections):
            key = (node.alias or node.name).value
            inner = get_named_type(parent.fields[node.name.value].type)
            value, at = data[key], (*path, key)
            yield Field(at, f"{parent.name}.{node.name.value}", not is_composite_type(inner), value)
            if node.selection_set and value is not None:
                assert isinstance(inner, GraphQLObjectType)
                for index, each in enumerate(value) if isinstance(value, list) else [(None, value)]:
                    below = at if index is None else (*at, index)
                    yield from self._fields(below, inner, node.selection_set, each)

    def _flat(self, selections: SelectionSetNode) -> Iterator[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._flat(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                yield from self._flat(self.fragments[node.name.value].selection_set)


def _name(node: Any) -> str:
    return str(node.name.value)


def _disclosure(node: Any) -> tuple[str, str] | None:
    for directive in node.directives or ():
        if directive.name.value == "disclosure":
            given = {each.name.value: each.value.value for each in directive.arguments}
            return given["agency"], given["sensitivity"]
    return None
