"""The fast way through a selection that only reads what a value already holds.

Where a selection on a concrete type reads nothing but plain attributes (leaf values, other such objects, lists of them)
and methods that compute a leaf from these, one function is generated that turns the schema value into the part of the
answer, and notes on its way what the witness asks (resolvers/columns.py). It is made once for each plan, type and
selection, and knows the good case only. At any surprise (a null where none may be, a value of another class, something
to await, a property that raises) it gives up, and graphql-core completes that value: errors, their paths and how nulls
spread are graphql-core's own. What a document selects is collected by graphql-core too, so that aliases, fragments,
merged fields and conditions are its reading.

graphql-core calls the methods that are overridden here internal; the tests hold both ways against each other.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum, EnumMeta
from typing import Any, Final, Protocol

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLString,
    Undefined,
    default_field_resolver,
    get_named_type,
    is_leaf_type,
)
from graphql.execution.collect_fields import CollectedFields, FieldDetailsList, collect_subfields
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path, is_awaitable
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from resolvers.columns import Columns, Open, Projected
from resolvers.recording import NOTED, RECORD_KEYS, RecordingExecutor
from schema.scalars import SCALARS, WON_LIMIT, Coordinate, Won

DEFINITION: Final = "strawberry-definition"
TRIES: Final = 16
"""How often a projection may give up more than it works before it is not tried any more."""


class GivenUp(Exception):
    """A value that graphql-core has to complete."""


class NotPlain(Exception):
    """A selection that cannot be compiled."""


@dataclass(slots=True)
class Projection:
    """A compiled selection. `tries` goes down with every value it gives up on."""

    function: Callable[[Any, Callable[[int], None], Sequence[list[Any]]], Any]
    columns: Columns
    lists: int
    tries: int = TRIES

    def project(self, value: Any) -> tuple[Any, Projected]:
        """What is answered for the value, with what was noted of it."""
        nothing: list[int] = []
        lists: list[list[Any]] = [[] for _ in range(self.lists)]
        return self.function(value, nothing.append, lists), Projected(self.columns, value, nothing, lists)


class Compiling(Protocol):
    """What the compiler asks of an executor."""

    schema: Any
    fragments: Any
    variable_values: Any
    operation: Any
    hide_suggestions: bool
    field_resolver: Any


class ProjectingExecutor(RecordingExecutor):
    """The recording executor, faster."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ordinary = self.error_propagation and self.abort_signal is None and self.middleware_manager is None
        self._compiled: dict[Any, Projection | None] | None = self.context_value.plan.compiled if ordinary else None
        self._given_up: Path | None = None

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """By a projection where there is one and it works."""
        if result is not None and path is not self._given_up and position_context is None:
            projection = self._projection(return_type, field_details_list)
            if projection is not None:
                try:
                    completed, projected = projection.project(result)
                except Exception:  # whatever it is, graphql-core meets it again and says it in its own words
                    projection.tries -= 1
                    self._given_up = path
                else:
                    projection.tries = TRIES
                    self.context_value.completed[tuple(path.as_list())] = projected
                    return completed
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    def _projection(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Projection | None:
        if self._compiled is None:
            return None
        # Types live as long as the schema and nodes as long as the plan, so that both can be told by their ids.
        key = (id(type_), *[id(each.node) for each in details])
        try:
            projection = self._compiled[key]
        except KeyError:
            projection = self._compiled[key] = compiled(self, type_, details)
        return projection if projection is not None and projection.tries > 0 else None


def compiled(executor: Compiling, type_: GraphQLOutputType, details: FieldDetailsList) -> Projection | None:
    """The projection of a selection, None where it is not plain."""
    named = get_named_type(type_)
    if not isinstance(named, GraphQLObjectType):
        return None
    source = Source(executor)
    try:
        if source.defers(details):
            return None
        expression, columns = source.present(unwrapped(type_)[0], details, "value", "value", noted=True)
        return Projection(source.function(expression), columns, source.lists)
    except (NotPlain, SyntaxError, RecursionError, MemoryError):
        return None


class Source:
    """The text of one projection in the making, with the constants it names."""

    def __init__(self, executor: Compiling) -> None:
        self._executor = executor
        self._count = 0
        self._places = 0
        self.lists = 0
        """How many kinds of lists of objects are noted."""
        self.names: dict[str, Any] = {"give_up": _give_up, "listed": _listed}

    def place(self) -> int:
        """A number under which nothing is noted yet."""
        self._places += 1
        return self._places

    def constant(self, value: Any) -> str:
        name = self.variable("c")
        self.names[name] = value
        return name

    def variable(self, letter: str = "v") -> str:
        self._count += 1
        return f"{letter}{self._count}"

    @staticmethod
    def defers(details: FieldDetailsList) -> bool:
        """Whether something is said of these fields that only graphql-core understands."""
        return any(
            each.defer_usage is not None
            or each.fragment_variable_values is not None
            or any(directive.name.value not in {"skip", "include"} for directive in each.node.directives or ())
            for each in details
        )

    def function(self, expression: str) -> Callable[..., Any]:
        """The expression as a function of `value`, which notes by `nothing` and in `lists`."""
        said = f"def project(value, nothing=lambda _: None, lists=()):\n    return {expression}\n"
        code = compile(said, "<selection>", "exec")
        exec(code, self.names)  # noqa: S102 - of attribute names, which are identifiers, and of names of the schema, quoted
        made: Callable[..., Any] = self.names["project"]
        return made

    def collected(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Iterable[tuple[str, FieldDetailsList]]:
        """What is selected on the type, by response key."""
        executor = self._executor
        found: CollectedFields = collect_subfields(
            executor.schema,
            executor.fragments,
            executor.variable_values,
            executor.operation,
            type_,
            details,
            executor.hide_suggestions,
        )
        if found.new_defer_usages or any(map(self.defers, found.grouped_field_set.values())):
            raise NotPlain(type_)
        return found.grouped_field_set.items()

    # ------------------------------------------------------------ values
    # `first` is an expression that gives the value and binds it to the variable `value`; it is evaluated before that.

    def present(
        self, type_: GraphQLOutputType, details: FieldDetailsList, first: str, value: str, *, noted: bool = False
    ) -> tuple[str, Columns]:
        """Completing a value that is not null, for a composite type that is not wrapped in non-null."""
        if isinstance(type_, GraphQLList):
            item, at = self.variable(), self.lists
            self.lists += 1
            inner, nullable = unwrapped(type_.of_type)
            records = not nullable and get_named_type(inner).name in RECORD_KEYS
            each, columns = self.present(inner, details, item, item, noted=records)
            if columns.lists is None:
                columns = replace(columns, lists=at, absent=self.place() if nullable else None)
            null = f"nothing({columns.absent})"
            return self.each(each, item, f"{first}, lists[{at}]", nullable=nullable, null=null), columns
        if isinstance(type_, GraphQLObjectType):
            return self.object(type_, details, first, value, noted=noted)
        raise NotPlain(type_)

    @staticmethod
    def each(expression: str, item: str, first: str, *, nullable: bool, null: str = "None") -> str:
        """A list of what the expression makes of each item."""
        if nullable:
            expression = f"({null} if {item} is None else {expression})"
        return f"[{expression} for {item} in listed({first})]"

    def object(
        self, type_: GraphQLObjectType, details: FieldDetailsList, first: str, value: str, *, noted: bool
    ) -> tuple[str, Columns]:
        """An object of exactly the type's class. What is noted itself is the root or a record in a list."""
        if not noted and type_.name in NOTED:
            raise NotPlain(type_)
        known = self.known(type_, first, value)
        shown, columns = self.fields(type_, details, value)
        return f"({shown} if {known} else give_up())", columns

    def known(self, type_: GraphQLObjectType, first: str, value: str) -> str:
        """Whether an object is exactly of the type's class."""
        known = f"{bound(first, value)}.__class__ is {self.constant(plain_class(type_))}"
        if type_.is_type_of is not None:  # Strawberry's own; what was cast to another type has the same class
            known += f" and {self.constant(type_.is_type_of)}({value}, None)"
        return known

    def fields(self, type_: GraphQLObjectType, details: FieldDetailsList, access: str) -> tuple[str, Columns]:
        """The fields of a known object, as a dictionary."""
        shown: list[str] = []
        sure: set[Coordinate] = set()
        open_: list[Open] = []
        below: list[Columns] = []
        for key, group in self.collected(type_, details):
            name = group[0].node.name.value
            if name == "__typename":
                shown.append(f"{key!r}: {type_.name!r}")
                continue
            definition = self._executor.schema.get_field(type_, name)
            if definition is None:
                raise NotPlain(name)
            at = Open(Coordinate(f"{type_.name}.{name}"), self.place(), self.place())
            expression, under = self.field(definition, group, access, at)
            shown.append(f"{key!r}: {expression}")
            if under is not None:
                below.append(under)
            inner, nullable = unwrapped(definition.type)
            if not nullable and not isinstance(inner, GraphQLList):
                sure.add(at.coordinate)
            else:
                open_.append(at)
        every = sure.union((at.coordinate for at in open_), *(each.every for each in below))
        columns = Columns(
            type_.name, RECORD_KEYS.get(type_.name), frozenset(sure), tuple(open_), tuple(below), frozenset(every)
        )
        return "{" + ", ".join(shown) + "}", columns

    def field(
        self, definition: GraphQLField, group: FieldDetailsList, access: str, at: Open
    ) -> tuple[str, Columns | None]:
        """The value of one field of the object `access`, with its columns if it leads to objects."""
        inner, nullable = unwrapped(definition.type)
        read, value = self.read(definition, group, access), self.variable()
        first = value if nullable else read
        columns: Columns | None = None
        if is_leaf_type(get_named_type(inner)):
            present = self.leaves(inner, first, value)
        else:
            try:
                present, columns = self.present(inner, group, first, value)
            except NotPlain:
                present = self.absent(inner, first, value, nullable=nullable)
        if isinstance(inner, GraphQLList):
            present = f"({present} or nothing({at.empty}) or [])"
        elif columns is not None and nullable:
            columns = replace(columns, absent=at.null)
        return (f"(nothing({at.null}) if ({value} := {read}) is None else {present})" if nullable else present), columns

    @staticmethod
    def absent(type_: GraphQLOutputType, first: str, value: str, *, nullable: bool) -> str:
        """A field whose selection is not plain, such as one that is nearly always an empty list."""
        if isinstance(type_, GraphQLList):
            return f"([] if {bound(first, value)}.__class__ is list and not {value} else give_up())"
        if nullable:
            return "give_up()"
        raise NotPlain(type_)

    def read(self, definition: GraphQLField, group: FieldDetailsList, access: str) -> str:
        """How Strawberry comes by the value: from an attribute, or from a method of the object."""
        said = definition.extensions.get(DEFINITION)
        if (
            not isinstance(said, StrawberryField)
            or type(said).get_result is not StrawberryField.get_result
            or said.extensions
            or said.is_subscription
            or not said.python_name.isidentifier()
            or self._executor.field_resolver is not default_field_resolver
        ):
            raise NotPlain(definition)
        if said.is_basic_field:
            if (
                definition.args
                or not getattr(definition.resolve, "_is_default", False)
                or said.default_resolver is not getattr
            ):
                raise NotPlain(definition)
            return f"{access}.{said.python_name}"
        resolver = said.base_resolver
        if (
            resolver is None
            or resolver.is_async
            or resolver.info_parameter is not None
            or resolver.parent_parameter is not None
            or resolver.self_parameter is None
            or not is_leaf_type(get_named_type(definition.type))
        ):
            raise NotPlain(definition)
        given = self.constants(definition, said, group)
        return f"{self.constant(resolver.wrapped_func)}({access}, **{self.constant(given)})"

    def constants(self, definition: GraphQLField, said: StrawberryField, group: FieldDetailsList) -> dict[str, Any]:
        """Arguments that are the same in every request of the document, under the names of the method's parameters."""
        node = group[0].node
        if any(argument.value.kind == "variable" for argument in node.arguments or ()):
            raise NotPlain(definition)
        given = get_argument_values(definition, node, self._executor.variable_values)
        if any(value is not None and not isinstance(value, Enum) for value in given.values()):
            raise NotPlain(definition)  # Strawberry would turn it into something else first
        if any(name != argument.python_name for name, argument in zip(definition.args, said.arguments, strict=True)):
            raise NotPlain(definition)
        return given

    # ------------------------------------------------------------ leaves

    def leaves(self, type_: GraphQLOutputType, first: str, value: str) -> str:
        """A leaf or lists of leaves that are not null."""
        if isinstance(type_, GraphQLList):
            item = self.variable()
            inner, nullable = unwrapped(type_.of_type)
            return self.each(self.leaves(inner, item, item), item, first, nullable=nullable)
        if isinstance(type_, GraphQLScalarType | GraphQLEnumType):
            return self.leaf(type_, first, value)
        raise NotPlain(type_)

    def leaf(self, type_: GraphQLLeafType, first: str, value: str) -> str:
        """One leaf: at once where the class says enough, and otherwise by the type's own coercion."""
        slow = self.constant(_coercion(type_))
        quick = _QUICK.get(type_, _QUICK_BY_COERCION.get(type_.coerce_output_value))
        if quick is not None:
            class_, condition, shown = quick
            known = f"{bound(first, value)}.__class__ is {self.constant(class_)}{condition.format(value)}"
            return f"({shown.format(value)} if {known} else {slow}({value}))"
        members = getattr(type_, "wrapped_cls", None)
        if type(members) is EnumMeta:
            # By name, since members hash in Python.
            every: list[Enum] = list(members)
            names = self.constant({each.name: type_.coerce_output_value(each) for each in every})
            known = f"{bound(first, value)}.__class__ is {self.constant(members)}"
            return f"({names}[{value}._name_] if {known} else {slow}({value}))"
        return f"{slow}({first})"


def unwrapped(type_: GraphQLOutputType) -> tuple[Any, bool]:
    """The type without its non-null, and whether it may be null."""
    return (type_.of_type, False) if isinstance(type_, GraphQLNonNull) else (type_, True)


def bound(first: str, value: str) -> str:
    """The expression, its value under a name."""
    return value if first == value else f"({value} := {first})"


_QUICK: Final[dict[Any, tuple[type, str, str]]] = {
    GraphQLString: (str, "", "{0}"),
    GraphQLID: (str, "", "{0}"),
    GraphQLBoolean: (bool, "", "{0}"),
    GraphQLInt: (int, " and -2147483648 <= {0} <= 2147483647", "{0}"),
    GraphQLFloat: (float, " and {0} - {0} == 0.0", "{0}"),
}
"""Scalars whose coercion is known for values of the class and of the condition, and what it makes of them."""
_QUICK_BY_COERCION: Final[dict[Any, tuple[type, str, str]]] = {
    SCALARS[Won].serialize: (int, f" and -{WON_LIMIT} <= {{0}} <= {WON_LIMIT}", "{0}"),
    SCALARS[date].serialize: (date, "", "{0}.isoformat()"),
    SCALARS[Decimal].serialize: (Decimal, " and {0}.is_finite()", "format({0}, 'f')"),
}


def plain_class(type_: GraphQLObjectType) -> Any:
    """The class whose objects can only be what they seem: nothing to await, no exception, no attributes made up."""
    said = type_.extensions.get(DEFINITION)
    if not isinstance(said, StrawberryObjectDefinition) or said.is_type_of is not None or said.concrete_of is not None:
        raise NotPlain(type_)
    class_: Any = said.origin
    if (
        issubclass(class_, BaseException)
        or hasattr(class_, "__await__")
        or hasattr(class_, "__getattr__")
        or class_.__getattribute__ is not object.__getattribute__
    ):
        raise NotPlain(type_)
    return class_


def _coercion(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    coerce = type_.coerce_output_value

    def coerced(value: Any) -> Any:
        if value is None or value is Undefined or isinstance(value, Exception) or is_awaitable(value):
            raise GivenUp
        result = coerce(value)
        if result is None or result is Undefined:
            raise GivenUp
        return result

    return coerced


def _give_up() -> Any:
    raise GivenUp


def _listed(value: Any, noted: list[Any] | None = None) -> Any:
    if value.__class__ is list or value.__class__ is tuple:
        if noted is not None:
            noted.append(value)
        return value
    raise GivenUp
