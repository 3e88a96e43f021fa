"""A graph with one of everything that an answer can be made of, its values with faults, and random questions to it."""

import asyncio
import enum
import random
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry
from graphql import (
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    is_leaf_type,
)
from strawberry.schema.config import StrawberryConfig

from schema.scalars import SCALARS, Coordinate, Won
from schema.text import Language


@strawberry.enum
class Color(enum.Enum):
    RED = "red"
    GREEN = 2
    BLUE = "BLUE"


@strawberry.type
class Leaf:
    s: str
    n: int | None
    f: float
    c: Color
    d: date
    won: Won
    deep: "Leaf | None"
    twin: "Leaf | None"

    @strawberry.field
    def said(self, language: Language | None = Language.EN) -> str:
        return f"{self.s} in {language}"

    @strawberry.field
    def counted(self) -> int:
        return len(self.s)

    @strawberry.field
    def chosen(self, loud: bool = False) -> str:
        return self.s.upper() if loud else self.s


class LaterLeaf(Leaf):
    """Has all that a leaf has, but has to be awaited."""

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.deep


@strawberry.interface
class Named:
    name: str
    tag: str | None


@strawberry.type
class Dog(Named):
    barks: int
    friend: Named | None
    color: Color | None


@strawberry.type
class Cat(Named):
    lives: float
    friends: list[Named]
    owner: "Owner | None"


@strawberry.type
class Owner:
    id: strawberry.ID
    born: date | None
    wealth: Decimal
    active: bool
    at: Coordinate | None
    matrix: list[list[int]]
    tags: list[str | None] | None
    colors: list[Color]
    best: "Annotated[Dog | Cat | Leaf, strawberry.union('Pet')] | None"
    strict: Leaf
    leaves: list[Leaf | None]
    strict_leaves: list[Leaf]
    grid: list[list[Leaf]] | None
    dog: Dog | None
    stamp: datetime | None

    @strawberry.field
    async def slow(self) -> Leaf | None:
        await asyncio.sleep(0)
        return self.strict

    @strawberry.field
    def computed(self, n: int = 1) -> str:
        if n == 3:
            raise ValueError("three")
        return f"c{n}"


ROOT: dict[str, Any] = {}
"""What the root fields answer."""


@strawberry.type
class Query:
    @strawberry.field
    def owner(self) -> Owner:
        return ROOT["owner"]  # type: ignore[no-any-return]

    @strawberry.field
    async def owners(self) -> list[Owner | None]:
        return ROOT["owners"]  # type: ignore[no-any-return]

    @strawberry.field
    def named(self) -> list[Named] | None:
        return ROOT["named"]  # type: ignore[no-any-return]

    @strawberry.field
    def leaf(self) -> Leaf | None:
        return ROOT["leaf"]  # type: ignore[no-any-return]

    @strawberry.field
    def dog(self) -> Dog | None:
        return ROOT["dog"]  # type: ignore[no-any-return]

    @strawberry.field
    def dogs(self) -> list[Dog | None]:
        return ROOT["dogs"]  # type: ignore[no-any-return]


GRAPH = strawberry.Schema(Query, types=[Dog, Cat], config=StrawberryConfig(scalar_map=SCALARS))._schema


# ---------------------------------------------------------------- values


class Awaited:
    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(0).__await__()
        return "awaited"


class Text(str):
    __slots__ = ()


class Number(int):
    pass


MISSING = object()
ODD: list[Any] = [
    *(None, "", "wrong", "7", "1.5", "RED", "red", "2020-01-01", "Type.field", 0, 1, -1),
    *(2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 - 1, 2**53, -(2**53) + 1, -(2**53), 10**400),
    *(1.0, 3.7, -0.0, 1e308, float("nan"), float("inf"), True, False, b"x", [], {}, (), [None], ["a"], [1]),
    *({"a": 1}, ValueError("as a value"), ValueError, Undefined, Color.RED, Color.GREEN, Color, Language.KO),
    *(date(2020, 1, 2), datetime(2020, 1, 2, 3, 4, 5), datetime(2020, 1, 2, 3, 4, 5, 6, UTC)),  # noqa: DTZ001
    *(Decimal("1.10"), Decimal("1E+3"), Decimal("NaN"), Text("sub"), Number(5), len, range(3), MISSING, Awaited()),
]


class Making:
    """Values of the graph. At the site `hit`, counted from 1, lies something odd instead."""

    def __init__(self, drawn: random.Random, hit: int | None) -> None:
        self.drawn = drawn
        self.hit = hit
        self.sites = 0
        self.odd = random.Random(hit).choice(ODD)  # noqa: S311 - the same value every time

    def v(self, value: Any) -> Any:
        self.sites += 1
        return self.odd if self.sites == self.hit else value

    def made(self, class_: type, **values: Any) -> Any:
        made = object.__new__(class_)
        for name, value in values.items():
            if value is not MISSING:
                object.__setattr__(made, name, value)
        return made

    def leaf(self, depth: int) -> Any:
        v, drawn = self.v, self.drawn
        class_ = LaterLeaf if drawn.random() < 0.04 else Leaf
        return v(self.made(class_, s=v("s"), n=v(drawn.choice([None, 5])), f=v(1.5), c=v(drawn.choice(list(Color))),
                           d=v(date(2020, 1, 2)), won=v(drawn.choice([0, 2**40])),
                           deep=v(self.leaf(depth - 1) if depth else None),
                           twin=v(self.leaf(depth - 1) if depth else None)))  # fmt: skip

    def dog(self, depth: int) -> Any:
        v = self.v
        return v(self.made(Dog, name=v("rex"), tag=v(None), barks=v(3), friend=v(self.named(depth - 1)),
                           color=v(Color.RED)))  # fmt: skip

    def named(self, depth: int) -> Any:
        if depth < 0:
            return None
        if self.drawn.random() < 0.5:
            return self.dog(depth)
        v = self.v
        friends = [self.named(depth - 1) for _ in range(self.drawn.randrange(3))] if depth else []
        made = self.made(Cat, name=v("tom"), tag=v("t"), lives=v(9.0), friends=v(friends),
                         owner=v(self.owner(depth - 1) if depth else None))  # fmt: skip
        if self.drawn.random() < 0.1:
            object.__setattr__(made, "__as_strawberry_type__", self.drawn.choice([Dog, Cat]))
        return v(made)

    def owner(self, depth: int) -> Any:
        v = self.v
        dog = self.dog(0)
        if isinstance(dog, Dog) and self.drawn.random() < 0.3:  # cast to what it is not
            object.__setattr__(dog, "__as_strawberry_type__", self.drawn.choice([Dog, Cat]))
        return v(self.made(Owner, id=v("a"), born=v(date(1990, 5, 5)), wealth=v(Decimal("1.50")), active=v(True),
                           at=v("Type.field"), matrix=v([[1, v(2)], v([3])]), tags=v(["a", None, v("b")]),
                           colors=v((Color.RED, Color.GREEN)), best=v(self.named(depth - 1) if depth else self.leaf(0)),
                           strict=self.leaf(2), leaves=v([self.leaf(1), None, self.leaf(1)]),
                           strict_leaves=v([self.leaf(1), self.leaf(1)]), grid=v([[self.leaf(0)], []]), dog=dog,
                           stamp=v(datetime(2020, 1, 2, 3, 4, 5, 6, UTC))))  # fmt: skip

    def root(self) -> dict[str, Any]:
        v = self.v
        return {
            "owner": self.owner(2),
            "owners": v([self.owner(1), None, self.owner(1)]),
            "named": v([self.named(2), self.named(2)]),
            "leaf": self.leaf(3),
            "dog": self.dog(1),
            "dogs": v([self.dog(0), self.dog(1)]),
        }


def populate(seed: int, *, fault: bool) -> None:
    """New values at the root, the same for the same seed; one of them odd if there is to be a fault."""
    same = random.Random  # not for secrets
    sound = Making(same(seed), None)
    ROOT.update(sound.root())
    if fault:
        hit = same(seed).randrange(1, sound.sites + 1)
        ROOT.update(Making(same(seed), hit).root())


# ---------------------------------------------------------------- questions


class Question:
    """A random question: aliases, merged fields, fragments, conditions, arguments, interfaces and a union."""

    def __init__(self, drawn: random.Random) -> None:
        self.drawn = drawn
        self.fragments: list[str] = []
        self.conditions: set[str] = set()
        body = self.selection(GRAPH.type_map["Query"], 4)
        declared = ", ".join(f"${name}: Boolean!" for name in sorted(self.conditions))
        self.text = f"query Q({declared}) {{ {body} }}" if declared else f"{{ {body} }}"
        self.text += "".join(f" {each}" for each in self.fragments)

    def condition(self) -> str:
        if self.drawn.random() > 0.12:
            return ""
        value = self.drawn.choice(["true", "false", "$v1", "$v2"])
        if value.startswith("$"):
            self.conditions.add(value[1:])
        return f" @{self.drawn.choice(['skip', 'include'])}(if: {value})"

    def selection(self, type_: GraphQLNamedType, depth: int) -> str:
        parts = [part for _ in range(self.drawn.randrange(1, 7)) if (part := self.part(type_, depth))]
        return " ".join(parts) or "__typename"

    def part(self, type_: GraphQLNamedType, depth: int) -> str:
        x = self.drawn.random()
        has_fields = isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
        if x < 0.1 or (not has_fields and x < 0.3):
            return f"{self.drawn.choice(['', 'ty: '])}__typename{self.condition()}"
        if x < 0.28 or not has_fields:
            return self.fragment(type_, depth)
        return self.field(type_, depth)

    def fragment(self, type_: GraphQLNamedType, depth: int) -> str:
        abstract = isinstance(type_, GraphQLInterfaceType | GraphQLUnionType)
        choices = list(GRAPH.get_possible_types(type_)) if abstract else [type_, *getattr(type_, "interfaces", ())]  # type: ignore[arg-type]
        on = self.drawn.choice(choices)
        body = self.selection(on, depth - 1)
        if self.drawn.random() < 0.6:
            return f"... on {on.name}{self.condition()} {{ {body} }}"
        self.fragments.append(f"fragment F{len(self.fragments)} on {on.name} {{ {body} }}")
        return f"...F{len(self.fragments) - 1}{self.condition()}"

    def field(self, type_: Any, depth: int) -> str:
        name, field = self.drawn.choice(list(type_.fields.items()))
        inner = get_named_type(field.type)
        if not is_leaf_type(inner) and depth <= 0:
            return ""
        arguments: dict[str, Callable[[], str]] = {
            "said": lambda: self.drawn.choice(["", "(language: KO)", "(language: null)"]),
            "chosen": lambda: self.drawn.choice(["", "(loud: true)"]),
            "computed": lambda: self.drawn.choice(["", "(n: 2)", "(n: 3)"]),
        }
        given = arguments.get(name, str)()
        alias = f"{self.drawn.choice('ab')}{''.join(filter(str.isalnum, given))}_{name}: "
        alias = alias if given or self.drawn.random() < 0.25 else ""
        below = "" if is_leaf_type(inner) else f" {{ {self.selection(inner, depth - 1)} }}"
        return f"{alias}{name}{given}{self.condition()}{below}"
