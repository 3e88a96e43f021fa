"""A fetched field is data in schema/ and gets its function from somewhere else."""

from typing import Annotated

import pytest
import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from schema.case import Case
from schema.estate import EstateCase
from schema.fields import argument, computed, definitions, fetched, resolves, unresolved
from schema.scalars import SCALARS


@strawberry.interface
class Story:
    title: str
    pages: list[str] = fetched(
        description="Pages.",
        arguments=[
            argument("first", int | None, default=2, description="How many."),
            argument("start_at", str | None, default=None, description="From where."),
        ],
    )
    author: str = fetched(description="Author.")
    shelf: strawberry.Private[str]


@strawberry.type
class Tale(Story):
    moral: str | None = fetched(description="Moral.")

    @computed(description="Title in capitals.")
    def loud(self) -> str:
        return self.title.upper()


@strawberry.type
class Novel(Story):
    pass


@strawberry.type
class Library:
    stories: list[Story]
    tale: Tale


def library() -> GraphQLSchema:
    return strawberry.Schema(query=Library, types=[Tale, Novel])._schema


async def test_resolvers_are_attached_after_the_types_were_made_and_even_after_a_schema_was_built() -> None:
    assert unresolved(library()) == [
        *("Tale.pages", "Tale.author", "Tale.moral"),
        *("Novel.pages", "Novel.author"),
    ]

    @resolves(Story, "author")
    async def author(story: strawberry.Parent[Story], info: strawberry.Info) -> str:
        return f"{info.context['name']} of {story.shelf}"

    @resolves(Tale, "moral")
    def moral() -> str | None:
        return None

    @resolves(Tale, "pages")
    async def pages(tale: strawberry.Parent[Tale], first: int | None, start_at: str | None) -> list[str]:
        return [f"{tale.title} {start_at} {number}" for number in range(first or 0)]

    assert unresolved(library()) == ["Novel.pages"]

    @resolves(Novel, "pages")
    def no_pages(first: Annotated[int | None, "declared by the field"], start_at: str | None) -> list[str]:
        return [str((first, start_at))]

    schema = strawberry.Schema(query=Library, types=[Tale, Novel])
    tale, novel = Tale(title="t", shelf="s1"), Novel(title="n", shelf="s2")

    seen = await schema.execute(
        """{
          stories { __typename title pages ... on Story { author } ... on Tale { moral loud } }
          tale { pages(first: 1, startAt: "x") }
        }""",
        root_value=Library(stories=[tale, novel], tale=tale),
        context_value={"name": "a"},
    )

    assert seen.errors is None
    assert seen.data == {
        "stories": [
            {
                "__typename": "Tale",
                "title": "t",
                "pages": ["t None 0", "t None 1"],
                "author": "a of s1",
                "moral": None,
                "loud": "T",
            },
            {"__typename": "Novel", "title": "n", "pages": ["(2, None)"], "author": "a of s2"},
        ],
        "tale": {"pages": ["t x 0"]},
    }
    assert tale.loud() == "T"


def test_a_fetched_field_is_no_part_of_the_constructor() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'moral'"):
        Tale(title="t", shelf="s", moral="m")

    assert "moral" not in repr(Tale(title="t", shelf="s"))


def test_a_function_with_other_arguments_than_the_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Novel\.pages: the function's arguments are not those of the field"):

        @resolves(Novel, "pages")
        def pages(first: int | None) -> list[str]:
            return [""] * (first or 0)


def test_asking_for_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StopIteration):
        resolves(Novel, "pagse")


def test_the_fields_of_a_case_are_fetched_on_the_concrete_types(core: GraphQLSchema) -> None:
    fetched_fields = {at for at, _, field in definitions(core) if fetched in field.metadata}

    assert {
        f"{kind}.{name}" for kind in ("EstateCase", "BirthCase") for name in ("mandate", "answers", "accessLog")
    } <= (fetched_fields)
    assert "EstateCase.number" not in fetched_fields


def test_the_interface_has_the_fetched_fields_too() -> None:
    @strawberry.type
    class Query:
        cases: list[Case]

    core = strawberry.Schema(query=Query, types=[EstateCase], config=StrawberryConfig(scalar_map=SCALARS))._schema
    fields = core.type_map["Case"].fields  # type: ignore[attr-defined]  # an interface

    assert {"mandate", "answers", "withheld", "deadlines", "accessLog"} <= fields.keys()
    assert fields["accessLog"].args.keys() == {"first", "after"}
