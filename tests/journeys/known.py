"""An answer of the graph and the known answers, brought to one form so that they can be compared as a whole."""

from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.known_answers import SORTED_BY

SECTIONS = ("land", "finance", "pensions", "tax", "health", "vehicles")
AGENCIES = tuple(name.upper() for name in SECTIONS)
LEFT_OUT = frozenset({"id", "answer", "schemeName"})
"""What the known answers leave out: opaque ids, provenance, and a name that follows from a code."""
THIRD_PARTIES = frozenset({"holder", "creditor", "beneficiaryName"})
"""Names of others: all but executors and administrators see the first syllable (decision table D32)."""


def graph(value: Any, name: str = "") -> Any:
    """What the graph showed, without ids, in the order of the known answers."""
    if isinstance(value, Mapping):
        return {member: graph(inner, member) for member, inner in value.items() if member not in LEFT_OUT}
    if isinstance(value, list):
        records = [graph(each) for each in value]
        keys = SORTED_BY.get(name)
        return records if keys is None else sorted(records, key=lambda record: [_rank(record, path) for path in keys])
    return value


def answer(value: Any, name: str = "") -> Any:
    """A known answer as an heir sees it: names of others masked."""
    if isinstance(value, Mapping):
        return {member: answer(inner, member) for member, inner in value.items()}
    if isinstance(value, list):
        return [answer(each) for each in value]
    return f"{value[0]}**" if name in THIRD_PARTIES and value is not None else value


def section(known: Mapping[str, Any]) -> Any:
    """The contents of a known section."""
    return answer({name: value for name, value in known.items() if name not in {"status", "expectedBy", "silent"}})


def heirs(value: Any) -> list[dict[str, Any]]:
    """The graph's heirs in the form of the known ones."""
    flat = [
        {name: inner for name, inner in heir.items() if name != "person"}
        | {"name": heir["person"]["name"], "representing": heir["representing"] and heir["representing"]["name"]}
        for heir in value
    ]
    return sorted(flat, key=lambda heir: str(heir["name"]))


def person(known: Mapping[str, Any]) -> dict[str, Any]:
    """A known person in the form of `Person`."""
    members = ("name", "birthDate", "deathDate", "sex", "address", "maskedRegistrationNumber")
    return {member: known[member] for member in members}


def require(case: Mapping[str, Any], known: Mapping[str, Any], sections: tuple[str, ...] = SECTIONS) -> None:
    """Every agency stands and says exactly as known."""
    for name in sections:
        expected = known["sections"][name]
        found = case[name]
        assert (name, found["answer"]["status"]) == (name, expected["status"])
        assert found["answer"]["expectedBy"] == expected.get("expectedBy")
        assert graph(found) == section(expected)


def ids(value: Any) -> Iterator[str]:
    """Every opaque id in an answer, in its order."""
    if isinstance(value, Mapping):
        for member, inner in value.items():
            if member == "id" and isinstance(inner, str):
                yield inner
            else:
                yield from ids(inner)
    elif isinstance(value, list):
        for each in value:
            yield from ids(each)


def _rank(record: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    value: Any = record
    for member in path.split("."):
        value = value[member]
    return (value is not None, value)
