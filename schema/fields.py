"""Fields that have to be fetched: declared in schema/ as data, given their function by resolvers/.

Strawberry ignores ``init=False`` on a field without resolver (0.341.2), and would take the arguments from a resolver
that is not there yet; so both are said here.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import strawberry
from graphql import GraphQLObjectType, GraphQLSchema
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryObjectDefinition, get_object_definition
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from schema.scalars import Coordinate

Resolver = TypeVar("Resolver", bound=Callable[..., object])


def computed(*, description: str) -> Callable[[Resolver], Resolver]:
    """A pure method of the type as a field: `strawberry.field`, which is untyped as a decorator."""
    field: Callable[[Resolver], Resolver] = strawberry.field(description=description)
    return field


def fetched(
    *, description: str, directives: Sequence[object] = (), arguments: Sequence[StrawberryArgument] = ()
) -> Any:
    """A field that is no part of the constructor; `resolves` gives it its function."""
    field = StrawberryField(description=description, directives=directives, metadata={fetched: True})
    field.init = field.repr = field.compare = False
    field.arguments = list(arguments)
    return field


def argument(name: str, type_: object, *, description: str, default: object) -> StrawberryArgument:
    return StrawberryArgument(name, None, StrawberryAnnotation(type_), description=description, default=default)


def resolves(cls: type, name: str) -> Callable[[Resolver], Resolver]:
    """Give the fetched field `name` of `cls` its function.

    On an interface it serves every type that implements it; on one of these it serves that type only. The function's
    parameters must be the declared arguments (besides parent and info).
    """
    fields = get_object_definition(cls, strict=True).fields
    at = next(index for index, field in enumerate(fields) if field.python_name == name)

    def attach(function: Resolver) -> Resolver:
        if name not in vars(cls)["__annotations__"]:  # inherited: the object belongs to the interface
            fields[at] = copy.copy(fields[at])
        resolver = StrawberryResolver(function)
        if {a.python_name for a in resolver.arguments} != {a.python_name for a in fields[at].arguments}:
            raise TypeError(f"{cls.__name__}.{name}: the function's arguments are not those of the field")
        fields[at](resolver)
        return function

    return attach


def definitions(schema: GraphQLSchema) -> Iterator[tuple[Coordinate, StrawberryObjectDefinition, StrawberryField]]:
    """Every field of every object type, with the definitions it was made from."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and (definition := type_.extensions.get("strawberry-definition")):
            for name, field in type_.fields.items():
                yield Coordinate(f"{type_.name}.{name}"), definition, field.extensions["strawberry-definition"]


def unresolved(schema: GraphQLSchema) -> list[Coordinate]:
    """Fetched fields that no resolver serves yet."""
    return [at for at, _, field in definitions(schema) if fetched in field.metadata and field.base_resolver is None]
