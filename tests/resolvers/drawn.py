"""Random documents over the real graph, and what they ask for by the naive reading of the specification.

The naive reading expands every fragment where it stands and keeps no memory of anything: it is slow, and there is
nothing to get wrong in it but the specification (GraphQL sections 6.3.2 and 6.4.3).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from hypothesis import strategies as st

VARIABLES = ("yes", "no", "maybe")
ARGUMENTS = {"accessLog": "(first: 3)", "cases": ""}
SAYS_WHO = {
    "Person": "id",
    "EstateCase": "id",
    "BirthCase": "id",
    "Heir": "person { id }",
    "Parent": "person { id }",
    "CaseCandidate": "person { id }",
    "Case": "__typename id",
    "Node": "__typename id",
}
"""What an answer must have in it for a test to tell whose data an object is."""


@dataclass(frozen=True)
class Drawn:
    """A document with the values of its variables."""

    text: str
    variables: dict[str, Any]


@dataclass
class Drawing:
    """One document in the making."""

    draw: Any
    schema: GraphQLSchema
    fragments: list[tuple[str, str, str]] = field(default_factory=list)

    def chance(self, percent: int) -> bool:
        return cast("bool", self.draw(st.integers(0, 99)) < percent)

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def directive(self) -> str:
        if not self.chance(12):
            return ""
        value = self.one_of(["true", "false", *(f"${name}" for name in VARIABLES)])
        return f" @{self.one_of(['skip', 'include'])}(if: {value})"

    def selection(self, type_: GraphQLNamedType, depth: int) -> str:
        """Some fields of a type, in braces, some of them behind fragments."""
        parts = [self.part(type_, depth) for _ in range(self.draw(st.integers(1, 3)))]
        return "{ " + " ".join([*parts, SAYS_WHO.get(type_.name, "__typename")]) + " }"

    def part(self, type_: GraphQLNamedType, depth: int) -> str:
        if is_abstract_type(type_) and self.chance(80):
            inner = self.one_of(sorted(self.schema.get_possible_types(type_), key=lambda each: each.name))
            inner = inner if inner.name.endswith("Case") else self.schema.type_map["EstateCase"]
            return f"... on {inner.name}{self.directive()} {self.selection(inner, depth)}"
        kind = self.draw(st.integers(0, 9)) if depth > 0 else 9
        if kind == 0:
            return f"...{self.directive()} {self.selection(type_, depth - 1)}"
        if kind <= 2:
            return f"...{self.fragment(type_, depth - 1)}{self.directive()}"
        return self.one_field(type_, depth)

    def fragment(self, type_: GraphQLNamedType, depth: int) -> str:
        known = [name for name, on, _ in self.fragments if on == type_.name]
        if known and self.chance(60):
            return cast("str", self.one_of(known))
        body = self.selection(type_, min(depth, 2))
        name = f"F{len(self.fragments)}"
        self.fragments.append((name, type_.name, body))
        return name

    def one_field(self, type_: GraphQLNamedType, depth: int) -> str:
        if not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            return "__typename"
        leading = {name for name, each in type_.fields.items() if is_composite_type(get_named_type(each.type))}
        deep = depth > 0 and bool(leading) and self.chance(65)
        names = [name for name in type_.fields if (name in leading) is deep]
        if not names:
            return "__typename"
        name = self.one_of(names)
        inner = get_named_type(type_.fields[name].type)
        alias = self.one_of(["", "", "", f"x_{name}: "])
        below = f" {self.selection(inner, depth - 1)}" if is_composite_type(inner) else ""
        return f"{alias}{name}{ARGUMENTS.get(name, '')}{self.directive()}{below}"


@st.composite
def documents(draw: Any, schema: GraphQLSchema, roots: Sequence[str]) -> Drawn:
    """A query of some root fields (``field(arguments)``), each under a key of its own, with everything below drawn."""
    drawing = Drawing(draw, schema)
    query = schema.query_type
    assert query is not None
    body = []
    for number, root in enumerate(draw(st.lists(st.sampled_from(roots), min_size=1, max_size=3))):
        type_ = get_named_type(query.fields[root.partition("(")[0]].type)
        body.append(f"r{number}: {root} {drawing.selection(type_, draw(st.integers(2, 5)))}")
    text = " ".join(body)
    rest = "".join(f"\nfragment {name} on {on} {inner}" for name, on, inner in drawing.fragments)
    used = [name for name in VARIABLES if f"${name})" in text + rest]
    declared = f"({', '.join(f'${name}: Boolean!' for name in used)})" if used else ""
    values = {"yes": True, "no": False, "maybe": draw(st.booleans())}
    return Drawn(f"query Drawn{declared} {{ {text} }}{rest}", {name: values[name] for name in used})


# ---------------------------------------------------------------- the naive reading


@dataclass(frozen=True)
class Naive:
    """A document read without memory."""

    schema: GraphQLSchema
    document: DocumentNode
    variables: Mapping[str, Any]

    def included(self, directives: Sequence[DirectiveNode]) -> bool:
        said = {each.name.value: self.value((each.arguments or ())[0].value) for each in directives}
        return said.get("include", True) and not said.get("skip", False)

    def value(self, node: Any) -> bool:
        return bool(self.variables[node.name.value] if node.kind == "variable" else node.value)

    def collected(self, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """By response key, the fields of all selection sets that an object of the type answers."""
        found: dict[str, list[FieldNode]] = {}
        for node in (each for selections in sets for each in self.flat(type_, selections)):
            found.setdefault((node.alias or node.name).value, []).append(node)
        return found

    def flat(self, type_: GraphQLObjectType, selections: SelectionSetNode) -> Iterator[FieldNode]:
        for node in selections.selections:
            if not self.included(node.directives or ()):
                continue
            if isinstance(node, FieldNode):
                yield node
                continue
            target: Any = node
            if not isinstance(node, InlineFragmentNode):
                target = self.fragment(cast("Any", node).name.value)
            on = target.type_condition
            if on is None or self.is_a(type_, on.name.value):
                yield from self.flat(type_, target.selection_set)

    def fragment(self, name: str) -> FragmentDefinitionNode:
        named = (each for each in self.document.definitions if isinstance(each, FragmentDefinitionNode))
        return next(each for each in named if each.name.value == name)

    def is_a(self, type_: GraphQLObjectType, name: str) -> bool:
        return type_.name == name or name in {each.name for each in type_.interfaces}

    @property
    def operation(self) -> OperationDefinitionNode:
        return next(each for each in self.document.definitions if isinstance(each, OperationDefinitionNode))

    def root(self) -> tuple[GraphQLObjectType, list[SelectionSetNode]]:
        query = self.schema.query_type
        assert query is not None
        return query, [self.operation.selection_set]

    def field_type(self, type_: GraphQLObjectType, node: FieldNode) -> GraphQLNamedType:
        return cast("GraphQLNamedType", get_named_type(type_.fields[node.name.value].type))

    def objects(self, type_: GraphQLNamedType) -> list[GraphQLObjectType]:
        if isinstance(type_, GraphQLObjectType):
            return [type_]
        return list(self.schema.get_possible_types(type_)) if is_abstract_type(type_) else []
