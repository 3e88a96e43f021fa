"""The compiled way and graphql-core's give the same data and the same errors, whatever the values.

`SAMENESS=10000 pytest tests/resolvers/test_execution.py` is the drill; without it a fixed number is asked.
"""

import inspect
import os
import random
import re
import types
from collections.abc import Mapping
from typing import Any, NewType

import pytest
import strawberry
from graphql import DocumentNode, GraphQLSchema, execute, parse, validate
from strawberry.schema.config import StrawberryConfig

from resolvers import execution
from resolvers.execution import ProjectingExecutor
from resolvers.recording import RecordingExecutor
from schema.scalars import SCALARS, Coordinate, Won
from tests.resolvers import menagerie
from tests.resolvers.menagerie import GRAPH, MISSING, ODD, Color, Question, populate

TIMES = int(os.environ.get("SAMENESS", "300"))


# ---------------------------------------------------------------- both ways


class Compiled:
    """The projections of one document, kept from question to question as a plan keeps them."""

    def __init__(self) -> None:
        self.by_conditions: dict[Any, dict[Any, Any]] = {}
        self.projected = 0

    def context(self, variables: Mapping[str, Any]) -> Any:
        compiled = self.by_conditions.setdefault(tuple(sorted(variables.items())), {})
        return types.SimpleNamespace(plan=types.SimpleNamespace(compiled=compiled), completed={})


async def answered(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], executor: Any, context: Any
) -> tuple[str, list[Any]]:
    """Data with its order and classes, and errors without the addresses of objects."""
    result: Any = execute(
        schema, document, variable_values=dict(variables), context_value=context, executor_class=executor
    )
    if inspect.isawaitable(result):
        result = await result
    errors = [{**e.formatted, "message": re.sub(r"0x[0-9a-f]+", "0x", e.message)} for e in result.errors or ()]
    return repr(result.data), errors


async def differs(
    schema: GraphQLSchema, text: str, variables: Mapping[str, Any], kept: Compiled, executor: Any, document: Any = None
) -> Any:
    """What the two ways say, where it is not the same."""
    document = document or parse(text)
    plain = await answered(schema, document, variables, RecordingExecutor, kept.context(variables))
    context = kept.context(variables)
    fast = await answered(schema, document, variables, executor, context)
    kept.projected += sum(type(each).__name__ == "Projected" for each in context.completed.values())
    return None if fast == plain else (text, variables, plain, fast)


async def random_difference(seed: int, executor: Any, kept: Compiled) -> Any:
    """One random question, with all values sound or exactly one of them odd, under other conditions each time."""
    drawn = random.Random(seed)  # noqa: S311 - the same question every time
    question = Question(drawn)
    document = parse(question.text)
    if validate(GRAPH, document):
        return None
    kept.by_conditions.clear()
    populate(seed, fault=seed % 4 != 0)
    for _ in range(3 if question.conditions else 1):
        variables = {name: drawn.random() < 0.5 for name in sorted(question.conditions)}
        if found := await differs(GRAPH, question.text, variables, kept, executor, document):
            return seed, found
    return None


async def test_random_questions_are_answered_alike_on_both_ways() -> None:
    kept = Compiled()
    for seed in range(TIMES):
        assert await random_difference(seed, ProjectingExecutor, kept) is None
    assert kept.projected > TIMES / 4


# ---------------------------------------------------------------- every leaf type, every odd value

Empty = NewType("Empty", str)
EMPTY = strawberry.scalar(name="Empty", serialize=lambda value: value or None)
"""Nothing, for some values."""
LEAVES: dict[str, tuple[Any, Any]] = {
    "s": (str, "s"), "i": (int, 1), "f": (float, 1.5), "b": (bool, True), "x": (strawberry.ID, "x"),
    "d": (menagerie.date, menagerie.date(2020, 1, 2)), "m": (menagerie.Decimal, menagerie.Decimal("1.50")),
    "t": (menagerie.datetime, menagerie.datetime(2020, 1, 2, tzinfo=menagerie.UTC)), "c": (Color, Color.RED),
    "w": (Won, 5), "e": (Empty, "e"), "o": (Coordinate, "A.b"), "j": (strawberry.scalars.JSON, {"a": [1]}),
}  # fmt: skip
FORMS = {"": lambda t: t, "n": lambda t: t | None, "l": lambda t: list[t], "z": lambda t: list[t | None] | None}


def table() -> tuple[GraphQLSchema, list[Any], Any]:
    """A graph whose one type has a field for every leaf type in every form, with the list that its root answers."""
    annotations = {form + name: wrap(type_) for name, (type_, _) in LEAVES.items() for form, wrap in FORMS.items()}
    row = strawberry.type(type("Row", (), {"__annotations__": {f"q{k}": v for k, v in annotations.items()}}))
    held: list[Any] = []

    def rows() -> Any:
        return held

    def one() -> Any:
        return held[0]

    rows.__annotations__["return"], one.__annotations__["return"] = list[row | None], row | None  # type: ignore[valid-type]
    query = type("Query", (), {"rows": strawberry.field(resolver=rows), "row": strawberry.field(resolver=one)})
    schema = strawberry.Schema(strawberry.type(query), config=StrawberryConfig(scalar_map={**SCALARS, Empty: EMPTY}))
    return schema._schema, held, row


async def table_differences(executor: Any, kept: Compiled) -> Any:
    """Each field with each odd value, alone and beside a good one, in a list and not."""
    schema, held, row = table()
    for name, (_, good) in LEAVES.items():
        for form in FORMS:
            field, listed = f"q{form}{name}", form in {"l", "z"}
            documents = [parse(f"{{ rows {{ {field} x: {field} }} }}"), parse(f"{{ row {{ {field} }} }}")]
            compiled = [Compiled(), Compiled()]
            for odd in [*ODD, *([[good, each] for each in ODD if each is not MISSING] if listed else [])]:
                held[:] = [object.__new__(row), object.__new__(row)]
                for each, value in zip(held, ([good, good] if listed else good, odd), strict=True):
                    if value is not MISSING:
                        setattr(each, field, value)
                for document, memory in zip(documents, compiled, strict=True):
                    memory.by_conditions.clear()  # a projection that gave up often is not tried any more
                    if found := await differs(schema, field, {}, memory, executor, document):
                        return field, odd, found
                    held.reverse()
            kept.projected += sum(memory.projected for memory in compiled)
    return None


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_every_leaf_type_with_every_odd_value_is_answered_alike_on_both_ways() -> None:
    kept = Compiled()
    assert await table_differences(ProjectingExecutor, kept) is None
    assert kept.projected > len(LEAVES) * len(FORMS)


# ---------------------------------------------------------------- a compiler that is wrong is noticed

MUTANTS = {
    "Int without its limits": (" and -2147483648 <= {0} <= 2147483647", ""),
    "Int one too far": ("<= 2147483647", "<= 2147483648"),
    "Float without infinity and NaN in mind": (" and {0} - {0} == 0.0", ""),
    "Won without its limits": ('f" and -{WON_LIMIT} <= {{0}} <= {WON_LIMIT}"', '""'),
    "Won one too far": ("<= {WON_LIMIT}", "<= {WON_LIMIT + 1}"),
    "a boolean is a number": (
        "{bound(first, value)}.__class__ is {self.constant(class_)}",
        "isinstance({bound(first, value)}, {self.constant(class_)})",
    ),
    "Decimal without infinity and NaN in mind": ('" and {0}.is_finite()"', '""'),
    "Decimal with an exponent": ("format({0}, 'f')", "str({0})"),
    "a moment is a day": (
        '(date, "", "{0}.isoformat()")',
        '(__import__(\'datetime\').datetime, "", "{0}.isoformat()")',
    ),
    "members by the name of the first": ("[{value}._name_]", "[next(iter({names}))]"),
    "any class will do": (".__class__ is {self.constant(plain_class(type_))}", " is not {self.constant(type_)}"),
    "nobody asks what it was cast to": ("if type_.is_type_of is not None:", "if False:"),
    "null where none may be": ("(type_.of_type, False) if", "(type_.of_type, True) if"),
    "any item may be null": ("if nullable:\n            expression", "if True:\n            expression"),
    "any iterable is a list": ("if value.__class__ is list or value.__class__ is tuple:", "if True:"),
    "coercion is skipped": ("result = coerce(value)", "result = value"),
    "a coercion to nothing is a value": ("if result is None or result is Undefined:", "if False:"),
    "conditions of the first question": (
        "executor.variable_values,\n            executor.op",
        "_first(executor),\n            executor.op",
    ),
    "one projection for all selections": ("key = (id(type_), *[id(each.node) for each in details])", "key = id(type_)"),
    "names instead of aliases": ('shown.append(f"{key!r}: {expression}")', 'shown.append(f"{name!r}: {expression}")'),
    "the type's name under its own name": ("{key!r}: {type_.name!r}", "{name!r}: {type_.name!r}"),
    "an absent list may have items": ("__class__ is list and not {value}", "__class__ is list"),
    "arguments are forgotten": ("        return given\n", "        return {}\n"),
    "arguments that vary are constants": ('if any(argument.value.kind == "variable"', "if any(False"),
    "giving up is an error": ("except Exception:  # whatever", "except ZeroDivisionError:  # whatever"),
}
"""What is wrong, and how it comes about: a text of the compiler, and what stands there instead."""
FIRST = "\n_seen = []\ndef _first(executor):\n    _seen.append(executor.variable_values)\n    return _seen[0]\n"
SAID = "query Q($l: Language) { leaf { said(language: $l) } }"
CONDITION = "query Q($v: Boolean!) { leaf { s @include(if: $v) n } }"


def mutated(old: str, new: str) -> Any:
    source = inspect.getsource(execution)
    assert source.count(old) >= 1, old
    module = types.ModuleType("mutant")
    exec(source.replace(old, new) + FIRST, module.__dict__)  # noqa: S102 - our own source, made wrong
    return module.ProjectingExecutor


async def pointed_difference(executor: Any) -> Any:
    """What random questions meet too seldom: one document with several values of its variables, and an empty null."""
    kept = Compiled()
    populate(1, fault=False)
    for text, name, values in ((SAID, "l", ["KO", "EN", None]), (CONDITION, "v", [True, False])):
        document, kept = parse(text), Compiled()
        for value in values:
            # As the plan does it: by the conditions only, of which an argument is none.
            kept.by_conditions = kept.by_conditions if name == "v" else dict.fromkeys(
                [((name, each),) for each in values], next(iter(kept.by_conditions.values()), {}))  # fmt: skip
            if found := await differs(GRAPH, text, {name: value}, kept, executor, document):
                return found
    return None


async def test_arguments_and_conditions_that_vary_are_answered_alike_on_both_ways() -> None:
    assert await pointed_difference(ProjectingExecutor) is None


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("wrong", MUTANTS)
async def test_a_compiler_that_is_wrong_is_noticed(wrong: str) -> None:
    executor = mutated(*MUTANTS[wrong])
    kept = Compiled()

    async def noticed() -> bool:
        try:
            if await pointed_difference(executor):
                return True
            for seed in range(300):
                if seed == 15 and await table_differences(executor, kept):
                    return True
                if await random_difference(seed, executor, kept):
                    return True
        except Exception:  # noqa: BLE001 - a mutant that breaks is noticed too
            return True
        return False

    assert await noticed()
