"""The whole of an ordinary operation, without graphql-core's walk from field to field.

Ordinary is a query for cases whose fields are single objects of known types, down to where a projection takes over
(resolvers/execution.py): the estate and the birth question are. It is compiled once for a plan. A field's resolver is
the one that graphql-core would call, and every value is completed by a projection. What an agency says is completed
and turned into bytes when it comes, not when all have come. At any surprise, a refusal included, all of it is given up
and graphql-core answers, over the cases that were entered and what the agencies have said already.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import attrgetter
from typing import Any, Final

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    get_nullable_type,
    is_leaf_type,
)
from graphql.execution.collect_fields import FieldDetails, FieldDetailsList
from graphql.execution.values import VariableValues, get_argument_values
from strawberry.types.field import StrawberryField

from resolvers.columns import Open
from resolvers.context import Context
from resolvers.execution import DEFINITION, TRIES, Compiling, GivenUp, NotPlain, Projection, Source, compiled, unwrapped
from resolvers.plan import Collected, Plan, Region
from resolvers.recording import NOTED, RECORD_KEYS, Completed
from resolvers.sections import SIX
from schema.disclosure import Agency
from schema.scalars import Coordinate

ROOTS: Final = frozenset({"estateCase", "birthCase"})
"""Ways into the graph that neither change nor record anything when they are gone twice."""
SECTIONS: Final = {agency.name.lower(): agency for agency in SIX}
NOBODY_ASKS: Final = Open(Coordinate(""), 0, 0)
"""Of the leaves that are read off one object: the witness reads these off the answer itself."""
CASES: Final = frozenset({Region.ESTATE.value, Region.BIRTH.value})


@dataclass(frozen=True, slots=True)
class Info:
    """What a resolver asks of the operation."""

    context: Context


@dataclass(frozen=True, slots=True)
class Operation:
    """One execution. What it completes is the context's only when all of it went well."""

    context: Context
    variables: VariableValues
    completed: Completed = field(default_factory=dict)

    def projected(self, projection: Projection, value: Any, path: "Path") -> Any:
        """What a projection makes of a value."""
        answered, self.completed[path] = projection.project(value)
        return answered

    @property
    def info(self) -> Info:
        """What resolvers are handed."""
        return Info(self.context)


Read = Callable[[Any, Operation], Any]
"""A field's value, or something to await, from the object it is a field of."""


Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A field whose value has to be worked out, and how the value is completed: at once, or step by step."""

    key: str
    read: Read
    nullable: bool
    inner: "Projection | Walk | Walks | Callable[[Any], Any]"

    async def answered(self, of: Any, path: Path, operation: Operation) -> Any:
        """What is answered for the field of the object."""
        value = self.read(of, operation)
        if isinstance(value, Awaitable):
            value = await value
        if isinstance(self.inner, Walk | Walks) and value is not None:
            return await self.inner.answered(value, (*path, self.key), operation)
        return self.completed(value, path, operation)

    def completed(self, value: Any, path: Path, operation: Operation) -> Any:
        """The same for a value of which nothing has to be waited for."""
        if value is None and self.nullable:
            return None
        if not isinstance(self.inner, Projection):
            return self.inner(value)  # type: ignore[operator]
        return operation.projected(self.inner, value, (*path, self.key))


@dataclass(frozen=True, slots=True)
class Walk:
    """An object of exactly one type: its leaves by one function, its other fields step by step.

    `sections` are the fields that say what an agency holds, which come when the agency has answered.
    """

    type_name: str
    keys: Mapping[str, None]
    leaves: Callable[[Any], dict[str, Any]]
    steps: Sequence[Step]
    sections: Sequence[tuple[Agency, Step]]

    async def answered(self, value: Any, path: Path, operation: Operation) -> dict[str, Any]:
        """The object as it is answered."""
        data: dict[str, Any] = {**self.keys, **self.leaves(value)}
        if self.type_name in NOTED:
            operation.completed[path] = (self.type_name, value)
        arriving = Arriving(data, path, operation)
        for agency, step in self.sections:
            arriving.expect(operation.context.hands[value.ref].sections[agency], step)
        for step in self.steps:
            data[step.key] = await step.answered(value, path, operation)
        await arriving.all()
        return data


@dataclass(frozen=True, slots=True)
class Walks:
    """A list of such objects, or of others that stand for somebody; none of them null."""

    each: Walk | Projection

    async def answered(self, values: Any, path: Path, operation: Operation) -> list[Any]:
        """The list as it is answered."""
        if values.__class__ is not list:
            raise GivenUp
        if isinstance(self.each, Projection):
            return [operation.projected(self.each, value, (*path, at)) for at, value in enumerate(values)]
        return [await self.each.answered(value, (*path, at), operation) for at, value in enumerate(values)]


class Arriving:
    """What agencies say, completed and encoded as it comes."""

    def __init__(self, data: dict[str, Any], path: Path, operation: Operation) -> None:
        self._data, self._path, self._operation = data, path, operation
        self._tasks: list[asyncio.Task[Any]] = []
        self._given_up: Exception | None = None

    def expect(self, task: asyncio.Task[Any], step: Step) -> None:
        """Put in what the task brings."""
        self._tasks.append(task)
        if task.done():
            self._put(step, task)
        else:
            task.add_done_callback(lambda done: self._put(step, done))

    async def all(self) -> None:
        """Wait until everything is in. Raises what kept something out."""
        if any(not task.done() for task in self._tasks):
            await asyncio.wait(self._tasks)
        if self._given_up is not None:
            raise self._given_up

    def _put(self, step: Step, task: asyncio.Task[Any]) -> None:
        try:
            completed = step.completed(task.result(), self._path, self._operation)
            self._data[step.key] = orjson.Fragment(orjson.dumps(completed))
        except Exception as surprise:  # raised where it is waited for
            self._given_up = surprise


@dataclass(slots=True)
class Whole:
    """A compiled operation. `tries` goes down with every surprise, refusals apart."""

    roots: Sequence[Step]
    tries: int = TRIES

    async def answered(self, context: Context, variables: VariableValues) -> dict[str, Any] | None:
        """All of its data; None where graphql-core has to answer."""
        if self.tries <= 0:
            return None
        operation = Operation(context, variables)
        try:
            if len(self.roots) == 1:
                found = [await self.roots[0].answered(None, (), operation)]
            else:
                found = await asyncio.gather(*(root.answered(None, (), operation) for root in self.roots))
        except GraphQLError:
            return None
        except Exception:  # whatever it is, graphql-core meets it again and says it in its own words
            self.tries -= 1
            return None
        self.tries = TRIES
        context.completed = operation.completed
        return {root.key: each for root, each in zip(self.roots, found, strict=True)}


def whole(executor: Compiling, plan: Plan) -> Whole | None:
    """The operation of a plan compiled; None where it is not ordinary."""
    roots = plan.fields.of_root(plan)
    if not roots or any(each.name not in ROOTS for each in roots.values()):
        return None
    try:
        return Whole([_step(executor, plan.root, key, _details(each)) for key, each in roots.items()])
    except (NotPlain, SyntaxError, RecursionError, MemoryError):
        return None


def _details(collected: Collected) -> FieldDetailsList:
    return [FieldDetails(node, None) for node in collected.nodes]


def _step(executor: Compiling, parent: GraphQLObjectType, key: str, details: FieldDetailsList) -> Step:
    if Source.defers(details):
        raise NotPlain(key)
    definition = executor.schema.get_field(parent, details[0].node.name.value)
    inner, nullable = unwrapped(definition.type)
    return Step(key, _read(executor, definition, details[0].node), nullable, _inner(executor, inner, details))


def _inner(
    executor: Compiling, type_: GraphQLOutputType, details: FieldDetailsList
) -> "Projection | Walk | Walks | Callable[[Any], Any]":
    if is_leaf_type(type_):
        source = Source(executor)
        return source.function(source.leaves(type_, "value", "value"))
    projection = compiled(executor, type_, details)
    if projection is not None:
        return projection
    if isinstance(type_, GraphQLObjectType) and type_.name not in RECORD_KEYS:
        return _walk(executor, type_, details)
    if isinstance(type_, GraphQLList) and isinstance(type_.of_type, GraphQLNonNull):
        each = _inner(executor, type_.of_type.of_type, details)
        if isinstance(each, Walk | Projection):
            return Walks(each)
    raise NotPlain(type_)


def _walk(executor: Compiling, type_: GraphQLObjectType, details: FieldDetailsList) -> Walk:
    source = Source(executor)
    leaves: list[str] = []
    steps: list[Step] = []
    sections: list[tuple[Agency, Step]] = []
    keys: dict[str, None] = {}
    for key, group in source.collected(type_, details):
        keys[key] = None
        name = group[0].node.name.value
        if name == "__typename":
            leaves.append(f"{key!r}: {type_.name!r}")
            continue
        leaf = _leaf(source, executor.schema.get_field(type_, name), group)
        if leaf is not None:
            leaves.append(f"{key!r}: {leaf}")
        elif type_.name in CASES and name in SECTIONS:
            sections.append((SECTIONS[name], _step(executor, type_, key, group)))
        else:
            steps.append(_step(executor, type_, key, group))
    known = source.known(type_, "value", "value")
    return Walk(
        type_.name, keys, source.function(f"({{{', '.join(leaves)}}} if {known} else give_up())"), steps, sections
    )


def _leaf(source: Source, definition: GraphQLField, group: FieldDetailsList) -> str | None:
    """How a leaf is read off the object; None where it has to be worked out."""
    if not is_leaf_type(unwrapped(definition.type)[0]):
        return None
    try:
        return source.field(definition, group, "value", NOBODY_ASKS)[0]
    except NotPlain:
        return None


def _read(executor: Compiling, definition: GraphQLField, node: FieldNode) -> Read:
    """How Strawberry would come by the value: from an attribute, or from the field's own function."""
    said = definition.extensions.get(DEFINITION)
    if isinstance(said, StrawberryField) and said.base_resolver is None:
        Source(executor).read(definition, [FieldDetails(node, None)], "value")  # refuses all but plain attributes
        get = attrgetter(said.python_name)
        return lambda of, _: get(of)
    if (
        not isinstance(said, StrawberryField)
        or type(said).get_result is not StrawberryField.get_result
        or said.extensions
        or said.is_subscription
        or any(name != argument.python_name for name, argument in zip(definition.args, said.arguments, strict=True))
    ):
        raise NotPlain(definition)
    return _called(definition, said, node)


def _called(definition: GraphQLField, said: StrawberryField, node: FieldNode) -> Read:
    resolver: Any = said.base_resolver
    if resolver.root_parameter is not None:
        raise NotPlain(definition)
    function = resolver.wrapped_func
    parent = resolver.parent_parameter and resolver.parent_parameter.name
    info = resolver.info_parameter and resolver.info_parameter.name

    def read(of: Any, operation: Operation) -> Any:
        given: dict[str, Any] = get_argument_values(definition, node, operation.variables) if definition.args else {}
        if not all(_is_itself(definition, name, value) for name, value in given.items()):
            raise GivenUp
        if parent:
            given[parent] = of
        if info:
            given[info] = operation.info
        return function(of, **given) if resolver.self_parameter else function(**given)

    return read


def _is_itself(definition: GraphQLField, name: str, value: Any) -> bool:
    """Whether Strawberry would hand an argument on as graphql-core gives it."""
    if value is None or isinstance(value, Enum):
        return True
    return value.__class__ is str and get_nullable_type(definition.args[name].type) in {GraphQLID, GraphQLString}
