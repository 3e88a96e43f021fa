"""Documents: parsed, held to a budget and validated once, then known by their text.

The budget is ours, over the parsed document, memoised by fragment and saturating, and comes before validation: a
chain of sixty fragments that each spread the next one twice asks for 2^60 fields in a few hundred bytes, and both
graphql-core's rules and the usual limiters would count them. What validation compares pairwise (FieldsInSetCanMerge,
GraphQL section 5.3.2) is counted too, because it is quadratic.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    SelectionSetNode,
    VariableNode,
    parse,
    specified_rules,
    validate,
)

from resolvers.redaction import has_number, without_numbers

SATURATED: Final = 10**9

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost. The first five are about the request, the rest about its document."""

    body_bytes: int = 100_000
    body_seconds: int = 10
    in_flight: int = 256
    streams: int = 1_000
    keep_alive_seconds: int = 15
    document_bytes: int = 100_000
    tokens: int = 5_000
    definitions: int = 100
    depth: int = 20
    fields: int = 2_000
    aliases: int = 200
    root_fields: int = 20
    merged_pairs: int = 2_000
    weight: int = 20_000
    page: int = 100
    reported_errors: int = 20
    documents_kept: int = 1_000
    characters_kept: int = 2_000_000


class Cost(NamedTuple):
    """What a document asks for, fragments expanded.

    `fields` counts fragment spreads too; `weight` counts a field once for every item of the pages above it.
    """

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    root_fields: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Document:
    """A document within its budget and valid. One object per text while it is kept, so it can be a key."""

    text: str = field(repr=False)
    hash: str
    node: DocumentNode = field(repr=False)
    operations: Mapping[str, OperationDefinitionNode] = field(repr=False)
    """By name; an anonymous operation is named "" here."""
    cost: Cost

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The named one, or the only one (GraphQL section 6.1, GetOperation)."""
        if name:
            return self.operations.get(name)
        return next(iter(self.operations.values())) if len(self.operations) == 1 else None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Rejection:
    errors: list[GraphQLError]
    code: Literal["BAD_INPUT", "TOO_COSTLY", "DOCUMENT_NOT_TRUSTED"]


def identified(text: str) -> str:
    """The id of a document: its hash."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


class Documents:
    """All documents this program has taken, good and bad, the least recently used forgotten.

    One with a registration number in its text is not kept, and the log's hash of it leaves the number out.

    `registered` knows the text of a document id, whoever registered it. With `trusted_only` nothing else is even
    parsed; whether the client may ask it is for the engine to say, which knows the client. Without `introspection`
    error messages suggest no names either, as those give the schema away.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        *,
        registered: Callable[[str], Awaitable[str | None]] | None = None,
        trusted_only: bool = False,
        introspection: bool = True,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._registered = registered
        self._texts: _Kept[str] = _Kept(limits.documents_kept, limits.characters_kept)
        self.trusted_only = trusted_only
        self._introspection = introspection
        self._rules = [*specified_rules, *([] if introspection else [NoSchemaIntrospectionCustomRule])]
        self._pages = pages_by_field(schema)
        self._kept: _Kept[Document] = _Kept(limits.documents_kept, limits.characters_kept)
        self._refused: _Kept[Rejection] = _Kept(limits.documents_kept // 4, limits.characters_kept // 4)

    def take(self, text: str) -> Document | Rejection:
        known = self._kept.get(text) or self._refused.get(text)
        if known is not None:
            return known
        taken = self._taken(text)
        if has_number(text):
            return taken
        if isinstance(taken, Document):
            self._kept.put(text, taken)
        else:
            self._refused.put(text, taken)
        return taken

    async def found(self, query: str | None, document_id: str | None) -> Document | Rejection:
        """The document that a request names by its text or by its id."""
        if query is None:
            text = await self._text(document_id or "")
            return self.take(text) if text is not None else _untrusted("No trusted document has this id.")
        if self.trusted_only and await self._text(identified(query)) is None:
            return _untrusted("Only trusted documents are answered here.")
        return self.take(query)

    async def _text(self, document_id: str) -> str | None:
        """A hash has one text for ever, so that it may be remembered."""
        text = self._texts.get(document_id)
        if text is None and self._registered is not None:
            text = await self._registered(document_id)
            if text is not None:
                self._texts.put(document_id, text)
        return text

    def _taken(self, text: str) -> Document | Rejection:
        encoded = text.encode()
        if len(encoded) > self._limits.document_bytes:
            return _too_costly("document_bytes", self._limits.document_bytes, len(encoded))
        try:
            return self._checked(text, identified(text))
        except RecursionError:  # brackets within brackets, in values, types or inline fragments
            return _too_costly("depth", self._limits.depth, None)

    def _checked(self, text: str, document_id: str) -> Document | Rejection:
        limits = self._limits
        try:
            node = parse(text, max_tokens=limits.tokens)
        except GraphQLSyntaxError as error:
            if error.message.endswith("tokens. Parsing aborted."):
                return _too_costly("tokens", limits.tokens, None)
            if error.message.endswith("nested too deeply. Parsing aborted."):
                return _too_costly("depth", limits.depth, None)
            return Rejection([error], "BAD_INPUT")
        budget = Budget(node, limits, self._pages)
        if budget.exceeded is not None:
            return budget.exceeded
        # Pairs cannot be counted along a cycle of fragments, so they are not compared either; a cycle is wrong anyway.
        rules = [rule for rule in self._rules if not (budget.cyclic and rule is OverlappingFieldsCanBeMergedRule)]
        errors = validate(
            self._schema, node, rules, max_errors=limits.reported_errors, hide_suggestions=not self._introspection
        )
        if errors:
            return Rejection(errors, "BAD_INPUT")
        operations = {operation.name.value if operation.name else "": operation for operation in budget.operations}
        # A hash over somebody's number would tell it to who tries them all.
        named = document_id if not has_number(text) else f"sha256:{sha256(without_numbers(text).encode()).hexdigest()}"
        return Document(text, named, node, operations, budget.cost)


class Budget:
    """What a parsed document costs and which limit it exceeds, if any; it needs no types."""

    def __init__(self, node: DocumentNode, limits: Limits, pages: Mapping[str, int]) -> None:
        self._limits = limits
        self._pages = pages
        self._fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
        self._measured: dict[str, Cost | None] = {}
        self._spread: set[str] = set()
        self._pairs = 0
        self.operations = [d for d in node.definitions if isinstance(d, OperationDefinitionNode)]
        self.cyclic = False
        self.cost = Cost()
        self.exceeded = self._excess(len(node.definitions))

    def _excess(self, definitions: int) -> Rejection | None:
        if definitions > self._limits.definitions:
            return _too_costly("definitions", self._limits.definitions, definitions)
        fragments = [self._fragment(name) for name in self._fragments]
        operations = [self._measure(operation.selection_set) for operation in self.operations]
        self.cost = Cost(
            max((cost.depth for cost in operations), default=0),
            sum(cost.fields for cost in operations),
            sum(cost.aliases for cost in operations),
            max((cost.root_fields for cost in operations), default=0),
            sum(cost.weight for cost in operations),
        )
        for cost in (self.cost, *(fragment._replace(root_fields=0) for fragment in fragments)):
            for name, found in cost._asdict().items():
                allowed: int = getattr(self._limits, name)
                if found > allowed:
                    return _too_costly(name, allowed, found)
        if not self.cyclic:
            tops = [self._fragments[name].selection_set for name in self._fragments.keys() - self._spread]
            for selections in (*(operation.selection_set for operation in self.operations), *tops):
                self._merge(selections, {})
        if self._pairs > self._limits.merged_pairs:
            return _too_costly("merged_pairs", self._limits.merged_pairs, None)
        return None

    def _measure(self, selections: SelectionSetNode) -> Cost:
        depth = fields = aliases = width = weight = 0
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                inner = self._measure(selection.selection_set) if selection.selection_set else Cost()
                here = Cost(
                    inner.depth + 1,
                    inner.fields + 1,
                    inner.aliases + (selection.alias is not None),
                    1,
                    1 + self._page(selection) * inner.weight,
                )
            elif isinstance(selection, InlineFragmentNode):
                here = self._measure(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                self._spread.add(selection.name.value)
                here = self._fragment(selection.name.value)
                here = here._replace(fields=here.fields + 1)
            else:
                continue
            depth = max(depth, here.depth)
            fields = min(SATURATED, fields + here.fields)
            aliases = min(SATURATED, aliases + here.aliases)
            width = min(SATURATED, width + here.root_fields)
            weight = min(SATURATED, weight + here.weight)
        return Cost(depth, fields, aliases, width, weight)

    def _fragment(self, name: str) -> Cost:
        """Nothing for an unknown fragment or one that is being measured: validation has a rule for each."""
        if name not in self._fragments:
            return Cost()
        if name not in self._measured:
            self._measured[name] = None
            self._measured[name] = self._measure(self._fragments[name].selection_set)
        cost = self._measured[name]
        if cost is None:
            self.cyclic = True
        return cost or Cost()

    def _page(self, node: FieldNode) -> int:
        """Items asked for by `first` or `last`; a variable stands for a full page."""
        for argument in node.arguments or ():
            if argument.name.value in {"first", "last"}:
                if isinstance(argument.value, VariableNode):
                    return self._limits.page
                if isinstance(argument.value, IntValueNode):
                    digits = argument.value.value
                    return SATURATED if len(digits) > 9 else max(1, int(digits))
        return self._pages.get(node.name.value, 1)

    def _merge(self, selections: SelectionSetNode, merged: dict[str, Any]) -> None:
        """Count the pairs of fields with one response path. At most `fields` steps: the cost is known by now."""
        for selection in selections.selections:
            if self._pairs > self._limits.merged_pairs:
                return
            if isinstance(selection, FieldNode):
                name = (selection.alias or selection.name).value
                count, below = merged.get(name, (0, {}))
                merged[name] = (count + 1, below)
                self._pairs += count
                if selection.selection_set:
                    self._merge(selection.selection_set, below)
            elif isinstance(selection, InlineFragmentNode):
                self._merge(selection.selection_set, merged)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value in self._fragments:
                self._merge(self._fragments[selection.name.value].selection_set, merged)


def pages_by_field(schema: GraphQLSchema) -> dict[str, int]:
    """The largest default of `first` by field name: what is listed when nothing is said."""
    pages: dict[str, int] = {}
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, field_ in type_.fields.items():
                first = field_.args.get("first")
                if first is not None and isinstance(first.default_value, int):
                    pages[name] = max(pages.get(name, 1), first.default_value)
    return pages


class _Kept(Generic[T]):
    """The values last used, bounded in number and in characters of their keys."""

    def __init__(self, values: int, characters: int) -> None:
        self._values = values
        self._characters = characters
        self._held = 0
        self._by_text: OrderedDict[str, T] = OrderedDict()

    def get(self, text: str) -> T | None:
        value = self._by_text.get(text)
        if value is not None:
            self._by_text.move_to_end(text)
        return value

    def put(self, text: str, value: T) -> None:
        self._by_text[text] = value
        self._held += len(text)
        while len(self._by_text) > self._values or self._held > self._characters:
            forgotten, _ = self._by_text.popitem(last=False)
            self._held -= len(forgotten)


def _too_costly(limit: str, allowed: int, found: int | None) -> Rejection:
    counted = "" if found is None or found >= SATURATED else f" (it has {found})"
    error = GraphQLError(
        f"The document exceeds the limit {limit} = {allowed}{counted}. Ask for less, or in several requests.",
        extensions={"limit": limit, "allowed": allowed},
    )
    return Rejection([error], "TOO_COSTLY")


def _untrusted(message: str) -> Rejection:
    remedy = "Register it, and have a privacy officer approve it (onestop documents register, approve)."
    return Rejection([GraphQLError(f"{message} {remedy}")], "DOCUMENT_NOT_TRUSTED")
