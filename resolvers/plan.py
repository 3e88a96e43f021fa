"""What a document reads, of whom, before anybody is asked.

A plan is made once for a document, an operation and the values of its @skip and @include conditions. It names the
coordinates by *region* (an estate case, a birth case, the viewer, a candidate, the log) and *part* (whose datum: the
case's person, an heir, a parent ...), so that one set look-up tells what may be shown. Aliases and paths do not
matter: two ways to one region are one region.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from graphql.language.ast import BooleanValueNode, ConstDirectiveNode, DirectiveNode

from auth.policy import About, Need
from resolvers.documents import Document
from schema.choice import Choice
from schema.disclosure import INHERITS, Agency, Disclosed
from schema.scalars import Coordinate


class Region(Choice):
    """Where in the graph: what gives the reason to read."""

    ESTATE = "EstateCase"
    BIRTH = "BirthCase"
    SELF = "Viewer"
    CANDIDATE = "CaseCandidate"
    LOG = "AccessEntryConnection"
    REQUEST = "RequestAnswersPayload"
    MANDATE = "MandatePayload"
    UPDATE = "CaseUpdate"


class Part(Choice):
    """Whose datum, seen from the region. Values are the words of the access log."""

    PERSON = "person"
    HEIR = "heir"
    PARENT = "parent"
    HOLDER = "holder"
    SELF = "self"


@dataclass(frozen=True, slots=True)
class Read:
    """One coordinate that a document reads. `inherited`: a shared value type, gated by the field that leads to it."""

    coordinate: Coordinate
    part: Part
    disclosed: Disclosed | None
    leaf: bool
    inherited: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """The fields that one object of a type answers under one response key."""

    name: str
    coordinate: Coordinate
    type: GraphQLNamedType
    nodes: tuple[FieldNode, ...]
    leads_on: bool
    """Whether it leads to objects."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one operation reads. `root` is the operation's type; `arguments` are those of the entry points."""

    operation: OperationDefinitionNode
    root: GraphQLObjectType
    reads: Mapping[Region, frozenset[Read]]
    fields: "Fields"
    compiled: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """Projections of its selections (resolvers/execution.py), by type and nodes: none depends on who asks."""
    asked: dict[Any, frozenset[Coordinate]] = field(default_factory=dict, compare=False, repr=False)
    of_agencies: dict[Any, frozenset[Coordinate]] = field(default_factory=dict, compare=False, repr=False)
    needed: dict[Any, list[tuple[Read, Need]]] = field(default_factory=dict, compare=False, repr=False)
    ruled: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What may be shown of it, by facts: none of them a person (resolvers/context.py)."""

    def coordinates(self, region: Region, part: Part | None = None) -> frozenset[Coordinate]:
        """All coordinates of a region (and part)."""
        found = self.asked.get((region, part))
        if found is None:
            found = self.asked[region, part] = frozenset(
                read.coordinate for read in self.reads.get(region, ()) if part is None or read.part is part
            )
        return found

    def of_agency(self, region: Region, agency: Agency) -> frozenset[Coordinate]:
        """The coordinates of a region that say themselves that they are the agency's."""
        found = self.of_agencies.get((region, agency))
        if found is None:
            found = self.of_agencies[region, agency] = frozenset(
                read.coordinate
                for read in self.reads.get(region, ())
                if not read.inherited and read.disclosed is not None and read.disclosed.agency is agency
            )
        return found

    def needs(self, region: Region, of: Region) -> Sequence[tuple[Read, Need]]:
        """What is read in a region, in order, with what the decision table has to allow for it as read in `of`."""
        found = self.needed.get((region, of))
        if found is None:
            found = self.needed[region, of] = [
                (read, needed)
                for read in sorted(self.reads.get(region, ()), key=lambda read: (read.coordinate, read.part.value))
                if not read.inherited and (needed := need(read, of)) is not None
            ]
        return found

    @property
    def asks_nobody(self) -> bool:
        """Whether only the graph itself is asked about (``__typename``, introspection)."""
        return all(collected.name.startswith("__") for collected in self.fields.of_root(self).values())


LOG_TYPES = frozenset(
    {"AccessEntryConnection", "AccessEntry", "FindingConnection", "FindingPayload", "Finding", "Actor"}
)
"""What speaks of the log."""
_REGIONS = {region.value: region for region in Region} | dict.fromkeys(LOG_TYPES, Region.LOG)
_PART_OF_REGION = {Region.SELF: Part.SELF, Region.LOG: Part.SELF}
_PARTS: Mapping[str, Part] = {
    "EstateCase.deceased": Part.PERSON,
    "BirthCase.child": Part.PERSON,
    "CaseCandidate.person": Part.PERSON,
    "EstateCase.heirs": Part.HEIR,
    "BirthCase.parents": Part.PARENT,
    "Mandate.holder": Part.HOLDER,
    "Mandate.onBehalfOf": Part.HOLDER,
}
"""Fields that lead to another person's data."""

CO_HEIR = frozenset({"Person.id", "Person.name"})
"""What heirs learn of each other's person besides the share: the name (decision table D42)."""


def moved(coordinate: Coordinate, part: Part) -> Part:
    """Whose data lies behind a field."""
    return _PARTS.get(coordinate, part)


def entered(type_name: str, region: Region | None, part: Part | None) -> tuple[Region | None, Part | None]:
    """Region and part inside an object of the type."""
    if type_name in _REGIONS:
        region = _REGIONS[type_name]
        return region, _PART_OF_REGION.get(region, Part.PERSON)
    return region, part


def need(read: Read, region: Region) -> Need | None:
    """What the decision table has to allow for a read; None for our own records."""
    if read.disclosed is None:
        return None
    return Need(
        read.disclosed.agency,
        read.disclosed.sensitivity,
        about(read.coordinate, read.part, region),
        read.disclosed.third_party,
    )


def about(coordinate: Coordinate, part: Part, region: Region) -> About:
    """The policy's word for whose datum a coordinate is."""
    if part is Part.SELF:
        return About.SELF
    if part is Part.PERSON:
        return About.PERSON
    if region is Region.BIRTH:
        return About.OTHER_PARENT
    if coordinate.startswith("Person.") and coordinate not in CO_HEIR:
        return About.CO_HEIR_DETAIL
    return About.CO_HEIR


class Fields:
    """Field collection with the conditions of one operation already decided (GraphQL §6.3.2)."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, conditions: Mapping[str, bool] | None) -> None:
        """Without conditions everything is collected, whatever @skip and @include say."""
        self._schema = schema
        self._conditions = conditions
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._known: dict[tuple[str, tuple[int, ...]], dict[str, Collected]] = {}
        self._nodes: list[tuple[FieldNode, ...]] = []  # kept alive, since their ids are keys

    def of_root(self, plan: Plan) -> dict[str, Collected]:
        """The root fields of an operation."""
        return self._collected(plan.root, (plan.operation.selection_set,))

    def of(self, parent: GraphQLObjectType, nodes: tuple[FieldNode, ...]) -> dict[str, Collected]:
        """By response key, what an object of the type answers to the selections of these fields."""
        key = (parent.name, tuple(map(id, nodes)))
        found = self._known.get(key)
        if found is None:
            self._nodes.append(nodes)
            sets = tuple(node.selection_set for node in nodes if node.selection_set)
            found = self._known[key] = self._collected(parent, sets)
        return found

    def _collected(self, parent: GraphQLObjectType, sets: tuple[SelectionSetNode, ...]) -> dict[str, Collected]:
        grouped: dict[str, list[FieldNode]] = {}
        for selections in sets:
            for node in self._flat(parent, selections, set()):
                grouped.setdefault((node.alias or node.name).value, []).append(node)
        return {key: self._field(parent, tuple(nodes)) for key, nodes in grouped.items()}

    def _field(self, parent: GraphQLObjectType, nodes: tuple[FieldNode, ...]) -> Collected:
        name = nodes[0].name.value
        field = self._schema.get_field(parent, name)
        if field is None:
            raise LookupError(f"{parent.name}.{name}")  # a validated document has no such field
        type_ = get_named_type(field.type)
        return Collected(name, Coordinate(f"{parent.name}.{name}"), type_, nodes, is_composite_type(type_))

    def _flat(self, parent: GraphQLObjectType, selections: SelectionSetNode, seen: set[str]) -> Iterator[FieldNode]:
        for node in selections.selections:
            if not self._included(node.directives or ()):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._applies(node.type_condition.name.value, parent):
                    yield from self._flat(parent, node.selection_set, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if self._applies(fragment.type_condition.name.value, parent):
                    yield from self._flat(parent, fragment.selection_set, seen)

    def _applies(self, condition: str, parent: GraphQLObjectType) -> bool:
        type_ = self._schema.type_map[condition]
        return type_ is parent or (is_abstract_type(type_) and self._schema.is_sub_type(type_, parent))

    def _included(self, directives: tuple[DirectiveNode | ConstDirectiveNode, ...]) -> bool:
        if self._conditions is None:
            return True
        for directive in directives:
            if directive.name.value in {"skip", "include"}:
                value = (directive.arguments or ())[0].value
                if isinstance(value, VariableNode):
                    said = self._conditions[value.name.value]
                else:
                    said = isinstance(value, BooleanValueNode) and value.value
                if said is (directive.name.value == "skip"):
                    return False
        return True

    def objects(self, type_: GraphQLNamedType) -> tuple[GraphQLObjectType, ...]:
        """The object types a value of the type can be."""
        if isinstance(type_, GraphQLObjectType):
            return (type_,)
        return tuple(self._schema.get_possible_types(type_)) if is_abstract_type(type_) else ()


VARIANTS = 64
"""Plans of one document that are kept: every condition doubles them."""


class Plans:
    """Plans by document; they go when their document is forgotten."""

    def __init__(self, schema: GraphQLSchema, disclosed: Mapping[Coordinate, Disclosed]) -> None:
        self._schema = schema
        self._disclosed = disclosed
        self._plans: WeakKeyDictionary[Document, dict[Any, Plan]] = WeakKeyDictionary()
        self._conditions: WeakKeyDictionary[Document, frozenset[str]] = WeakKeyDictionary()

    def plan(self, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Plan:
        """The plan of an operation with coerced variables."""
        names = self._conditions.get(document)
        if names is None:
            names = self._conditions[document] = condition_variables(document.node)
        # A null is no condition: it fails when it is met, so that its plan must not be that of a false one.
        values = {name: variables[name] for name in sorted(names) if name in variables}
        conditions = {name: bool(value) for name, value in values.items()}
        by_key = self._plans.setdefault(document, {})
        key = (id(operation), tuple(values.items()))
        plan = by_key.get(key)
        if plan is None:
            if len(by_key) >= VARIANTS:
                by_key.clear()
            plan = by_key[key] = self._made(document, operation, conditions)
        return plan

    def whole(self, document: Document, operation: OperationDefinitionNode) -> Plan:
        """What an operation reads at most, whatever its conditions; not to be executed by."""
        return self._made(document, operation, None)

    def _made(
        self, document: Document, operation: OperationDefinitionNode, conditions: Mapping[str, bool] | None
    ) -> Plan:
        root = {
            OperationType.QUERY: self._schema.query_type,
            OperationType.MUTATION: self._schema.mutation_type,
            OperationType.SUBSCRIPTION: self._schema.subscription_type,
        }[operation.operation]
        if root is None:
            raise LookupError(operation.operation.value)
        fields = Fields(self._schema, document.node, conditions)
        reads: dict[Region, set[Read]] = {}
        plan = Plan(operation, root, {}, fields)
        self._visit(fields, fields.of_root(plan), root, None, None, None, reads, set())
        return Plan(operation, root, {region: frozenset(found) for region, found in reads.items()}, fields)

    def _visit(
        self,
        fields: Fields,
        collected: Mapping[str, Collected],
        parent: GraphQLObjectType,
        region: Region | None,
        part: Part | None,
        inherited: Disclosed | None,
        reads: dict[Region, set[Read]],
        seen: set[Any],
    ) -> None:
        for each in collected.values():
            if each.name.startswith("__"):
                continue
            shared = parent.name in INHERITS
            disclosed = inherited if shared else self._disclosed.get(each.coordinate)
            leaf = not each.leads_on
            if region is not None and part is not None:
                reads.setdefault(region, set()).add(Read(each.coordinate, part, disclosed, leaf, shared))
            inner_part = moved(each.coordinate, part) if part else None
            for object_type in fields.objects(each.type):
                key = (tuple(map(id, each.nodes)), object_type.name, region, inner_part, disclosed)
                if key in seen:
                    continue
                seen.add(key)
                inner_region, inner = entered(object_type.name, region, inner_part)
                below = fields.of(object_type, each.nodes)
                self._visit(fields, below, object_type, inner_region, inner, disclosed, reads, seen)


def condition_variables(document: DocumentNode) -> frozenset[str]:
    """Names of variables that @skip and @include look at, anywhere in the document."""
    found: set[str] = set()

    def visit(selections: SelectionSetNode) -> None:
        for node in selections.selections:
            for directive in node.directives or ():
                if directive.name.value in {"skip", "include"}:
                    found.update(
                        a.value.name.value for a in directive.arguments or () if isinstance(a.value, VariableNode)
                    )
            inner = getattr(node, "selection_set", None)
            if inner is not None:
                visit(inner)

    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            visit(definition.selection_set)
    return frozenset(found)
