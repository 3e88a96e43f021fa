"""What a document may cost, that finding it out costs little, and that documents are known again."""

import time

import graphql
import pytest

from resolvers.documents import Document, Documents, Limits, Rejection, identified

SCHEMA = graphql.build_schema("""
type Query { a(x: [Int], first: Int): Query b: Query many(first: Int): [Query] name(style: String): String id: ID }
""")


def documents(limits: Limits | None = None, **more: object) -> Documents:
    return Documents(SCHEMA, limits or Limits(), **more)  # type: ignore[arg-type]


def chain(length: int) -> str:
    """A document whose fields double with every fragment."""
    links = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(length))
    return f"query {{ ...F0 }} {links} fragment F{length} on Query {{ name }}"


def refused(text: str, limits: Limits | None = None) -> str:
    """The limit a document exceeds."""
    taken = documents(limits).take(text)
    assert isinstance(taken, Rejection)
    assert taken.code == "TOO_COSTLY"
    assert taken.errors[0].extensions
    return str(taken.errors[0].extensions["limit"])


def test_a_good_document_has_its_hash_its_operations_and_its_cost() -> None:
    taken = documents().take("query A { a { name } } query B { x: name }")
    assert isinstance(taken, Document)
    assert taken.hash.startswith("sha256:")
    assert taken.cost == (2, 3, 1, 1, 3)
    assert [taken.operation(name) and name for name in ("A", "B", "C", None)] == ["A", "B", None, None]


def test_an_only_operation_needs_no_name() -> None:
    taken = documents().take("{ name }")
    assert isinstance(taken, Document)
    assert taken.operation(None) is taken.operation("") is not None
    assert taken.operation("A") is None


def test_the_introspection_query_of_graphiql_is_within_the_limits() -> None:
    text = graphql.get_introspection_query(input_value_deprecation=True, specified_by_url=True)
    assert isinstance(documents().take(text), Document)


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("fields", chain(60)),
        ("document_bytes", "# " + "가" * 34_000 + "\n{ name }"),
        ("tokens", "{ " + "name " * 5_000 + "}"),
        ("definitions", "{ name } " + " ".join(f"query Q{n} {{ name }}" for n in range(100))),
        ("depth", "{ " + "a { " * 20 + "name" + " }" * 21),
        ("depth", "{ a(x: " + "[" * 2_000 + "]" * 2_000 + ") { name } }"),
        ("depth", "{a" * 2_400),
        ("aliases", "{ a { " + " ".join(f"x{n}: name" for n in range(201)) + " } }"),
        ("root_fields", "{ " + " ".join(f"x{n}: name" for n in range(21)) + " }"),
        ("root_fields", "{ " + "...F " * 3 + "} fragment F on Query { " + "name " * 7 + "}"),
        ("merged_pairs", "{ a { " + "name " * 65 + "} }"),
        (
            "merged_pairs",
            "{ a { " + "...F ...G " * 30 + "} } fragment F on Query { id name } fragment G on Query { id name }",
        ),
        ("weight", "{ many(first: 1000) { many(first: 1000) { name } } }"),
        ("weight", f"{{ many(first: {'9' * 5000}) {{ name }} }}"),
        ("weight", "query($n: Int) { many(first: $n) { many(first: $n) { many(first: $n) { name } } } }"),
        ("fields", f"{{ name }} {chain(40).removeprefix('query { ...F0 }')}"),
    ],
)
def test_a_document_over_a_limit_is_refused_and_told_which(limit: str, text: str) -> None:
    assert refused(text) == limit


def test_a_chain_that_doubles_is_refused_faster_than_it_could_be_validated() -> None:
    text = chain(60)
    spent = []
    for _ in range(5):
        fresh = documents()
        begun = time.process_time()
        assert isinstance(fresh.take(text), Rejection)
        spent.append(time.process_time() - begun)
    # 1 to 3 ms; anything that follows the fragments would not come back within the age of the universe.
    assert min(spent) < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { a { ...B } } fragment B on Query { b { ...A ...B } }",
        "{ ...F0 } "
        + "".join(f"fragment F{n} on Query {{ ...F{(n + 1) % 90} ...F{(n + 7) % 90} name }}" for n in range(90)),
        "{ ...Nowhere }",
        "{ name } fragment A on Query { name }",
        "{ aa }",
        "type A { b: Int }",
        "",
        "\x00",
    ],
)
def test_what_is_wrong_is_left_to_validation_cycles_too(text: str) -> None:
    taken = documents(Limits(fields=10**9, root_fields=10**9, weight=10**9, depth=99)).take(text)
    assert isinstance(taken, Rejection)
    assert taken.code == "BAD_INPUT"


def test_a_cycle_does_not_hide_pairs_from_their_limit() -> None:
    text = "{ a { name name(style: SHORT) ...A } } fragment A on Query { ...A }"
    taken = documents().take(text)
    assert isinstance(taken, Rejection)
    assert not [error for error in taken.errors if "conflict" in error.message]  # they have not been compared


def test_only_so_many_errors_are_reported() -> None:
    taken = documents(Limits(reported_errors=3)).take("{ q w e r t z }")
    assert isinstance(taken, Rejection)
    assert len(taken.errors) == 4  # and one that says there are more


def test_a_typo_is_told_its_right_spelling_unless_the_schema_is_not_shown() -> None:
    told, untold = documents().take("{ nam }"), documents(introspection=False).take("{ nam }")
    assert isinstance(told, Rejection)
    assert isinstance(untold, Rejection)
    assert "Did you mean 'name'" in told.errors[0].message
    assert "Did you mean" not in untold.errors[0].message


def test_without_introspection_the_schema_is_not_shown() -> None:
    assert isinstance(documents(introspection=False).take("{ __schema { types { name } } }"), Rejection)
    assert isinstance(documents(introspection=False).take("{ __typename }"), Document)


def test_a_text_is_the_same_document_or_rejection_each_time() -> None:
    known = documents()
    assert known.take("{ name }") is known.take("{ name }")
    assert known.take("{ nam }") is known.take("{ nam }")


def test_what_is_kept_is_bounded_in_number_and_in_size() -> None:
    few = documents(Limits(documents_kept=4))
    first = few.take("{ name }")
    for n in range(4):
        few.take(f"query Q{n} {{ name }}")
    assert few.take("{ name }") is not first
    small = documents(Limits(characters_kept=400))
    first = small.take("{ name }")
    small.take("{ name } #" + "x" * 390)
    assert small.take("{ name }") is not first
    for n in range(50):
        small.take(f"{{ wrong{n} }}")
    assert small._refused._held <= 100
    assert small._refused._held == sum(map(len, small._refused._by_text))


async def test_a_registered_document_is_found_by_its_id_and_others_are_not() -> None:
    asked: list[str] = []

    async def text(document_id: str) -> str | None:
        asked.append(document_id)
        return {identified("{ name }"): "{ name }"}.get(document_id)

    for trusted_only in (False, True):
        registry = documents(registered=text, trusted_only=trusted_only)
        for _ in range(2):
            found = await registry.found(None, identified("{ name }"))
            assert isinstance(found, Document)
            assert found.hash == identified("{ name }")
        assert asked == [identified("{ name }")]
        for query, document_id in ((None, identified("{ id }")), *([("{ id", None)] if trusted_only else [])):
            missing = await registry.found(query, document_id)
            assert isinstance(missing, Rejection)
            assert missing.code == "DOCUMENT_NOT_TRUSTED"
            assert "approve" in missing.errors[0].message
        asked.clear()
    assert isinstance(await documents(registered=text).found("{ id }", None), Document)


def test_a_list_counts_as_long_as_its_default_page() -> None:
    import strawberry

    @strawberry.type
    class Entry:
        id: int

    @strawberry.type
    class Query:
        @strawberry.field
        def log(self, first: int = 50) -> list[Entry]:
            return [Entry(id=1)][:first]

    taken = Documents(strawberry.Schema(Query)._schema, Limits()).take("{ log { id } }")
    assert isinstance(taken, Document)
    assert taken.cost.weight == 51
