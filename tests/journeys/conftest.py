"""One program for the tests of a worker, and a second one on which finance has not answered anything yet."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.client import Onestop, commanded, serving
from tests.journeys.graph import Graph


@pytest.fixture(scope="session")
def known() -> dict[str, Any]:
    """The known answers, by persona."""
    told = json.loads(commanded("sandbox", "--people", "0", "people", "--json"))
    return {each["persona"]: {**each, "today": told["today"]} for each in told["personas"]}


@pytest.fixture(scope="session")
def onestop(known: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onestop]:
    """Everything embedded, as `onestop serve` starts it."""
    with serving(tmp_path_factory.mktemp("onestop"), known) as running:
        yield running


@pytest.fixture(scope="session")
def other_onestop(known: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onestop]:
    """The same, for tests that must be the first to ask finance about their persona: each has one of its own."""
    with serving(tmp_path_factory.mktemp("other-onestop"), known) as running:
        yield running


@pytest.fixture(scope="session")
def office(known: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onestop]:
    """The same, for officials: elsewhere they have no cases."""
    with serving(tmp_path_factory.mktemp("office"), known) as running:
        yield running


@pytest.fixture(scope="session")
def graph() -> Graph:
    """The graph as the command prints it."""
    return Graph(commanded("schema"))
