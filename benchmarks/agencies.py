"""Six plain agencies for comparing gateways: what they say, how peers describe it, and one process that says it.

Each answers any request on a port of its own with the same JSON: `{"data": {"<list>": [records]}}`. 400 leaves are 56
records; other sizes have the same shape. `python benchmarks/agencies.py` serves and prints the ports as JSON;
`PUT /state` with `{"leaves": 10000, "delay_ms": 5}` at any of them says what all of them answer from then on.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import httptools
import uvloop

BASE_LEAVES = 400
Record = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """One agency: the list it has, the type of a record with its fields in SDL, how many, and how one is made."""

    name: str
    holds: str
    type: str
    fields: dict[str, str]
    count: int
    made: Callable[[int], Record]

    @property
    def selection(self) -> str:
        """Of every field of a record."""
        return " ".join(
            f"{name} {{ code name }}" if kind == "Institution!" else name for name, kind in self.fields.items()
        )

    @property
    def types(self) -> str:
        """The record's type for peers. Enums, days and decimals are strings to them."""
        listed = "\n".join(f"  {name}: {kind}" for name, kind in self.fields.items())
        also = "type Institution {\n  code: String!\n  name: String!\n}\n" if "institution" in self.fields else ""
        return f"{also}type {self.type} {{\n{listed}\n}}\n"

    @property
    def root(self) -> str:
        """The field of Query for peers."""
        return f"  {self.holds}(person: ID!): [{self.type}!]!\n"

    def records(self, leaves: int) -> list[Record]:
        """As many as make this agency's part of so many leaves."""
        return [self.made(number) for number in range(round(self.count * leaves / BASE_LEAVES))]


def _day(number: int) -> str:
    return f"20{10 + number % 15:02}-{1 + number % 12:02}-{1 + number % 28:02}"


PLAIN = (
    Plain("LAND", "parcels", "LandParcel", {
        "pnu": "String!", "address": "String!", "ledger": "String!", "category": "String!", "areaM2": "String!",
        "pricePerM2": "Int", "priceYear": "Int", "acquiredOn": "String",
    }, 10, lambda n: {
        "pnu": f"{1111010100100000000 + n}", "address": f"청운동 산 {n}", "ledger": ("LAND", "FOREST")[n % 2],
        "category": ("전", "답", "대", "임야")[n % 4], "areaM2": f"{100 + n}.{n % 10}", "pricePerM2": 1000 + n * 37,
        "priceYear": 2025, "acquiredOn": _day(n) if n % 5 else None,
    }),
    Plain("FINANCE", "deposits", "Deposit", {
        "id": "ID!", "institution": "Institution!", "product": "String!", "numberSuffix": "String", "balance": "Int",
        "dormant": "Boolean!", "jointlyHeld": "Boolean!",
    }, 20, lambda n: {
        "id": f"D-{n:06}", "institution": {"code": f"{n % 100:03}", "name": f"은행 {n % 20}"}, "product": "보통예금",
        "numberSuffix": f"{n % 10000:04}", "balance": n * 10_007 % 2_000_000_000 if n % 7 else None,
        "dormant": n % 3 == 0, "jointlyHeld": n % 4 == 0,
    }),
    Plain("PENSIONS", "memberships", "PensionMembership", {
        "scheme": "String!", "member": "String!", "receiving": "Boolean", "contributionMonths": "Int",
        "monthlyPension": "Int", "overpaidAfterDeath": "Int", "loan": "String!", "loanOutstanding": "Int",
    }, 4, lambda n: {
        "scheme": ("NPS", "GEPS", "TP", "MILITARY")[n % 4], "member": ("YES", "UNKNOWN")[n % 2],
        "receiving": n % 2 == 0,
        "contributionMonths": n % 480, "monthlyPension": 900_000 + n, "overpaidAfterDeath": None, "loan": "NO",
        "loanOutstanding": n if n % 3 else None,
    }),
    Plain("TAX", "items", "TaxItem", {
        "id": "ID!", "level": "String!", "tax": "String!", "period": "String!", "authority": "String!",
        "state": "String!", "assessed": "Int", "dueOn": "String",
    }, 8, lambda n: {
        "id": f"T-{n:06}", "level": ("NATIONAL", "LOCAL")[n % 2], "tax": ("종합소득세", "재산세")[n % 2],
        "period": f"{2015 + n % 10}", "authority": f"세무서 {n % 30}", "state": ("ARREARS", "PAID")[n % 2],
        "assessed": 10_000 + n * 3, "dueOn": _day(n),
    }),
    Plain("HEALTH", "unpaidPremiums", "SocialPremium", {
        "insurance": "String!", "unpaid": "Int", "surcharge": "Int", "months": "Int!",
    }, 12, lambda n: {
        "insurance": ("HEALTH", "PENSION", "EMPLOYMENT")[n % 3], "unpaid": 50_000 + n,
        "surcharge": n * 11 if n % 2 else None, "months": 1 + n % 24,
    }),
    Plain("VEHICLES", "vehicles", "Vehicle", {
        "plate": "String!", "kind": "String!", "maker": "String!", "model": "String!", "modelYear": "Int!",
        "fuel": "String!", "firstRegisteredOn": "String!", "assessedValue": "Int",
    }, 2, lambda n: {
        "plate": f"{10 + n % 90}가{1000 + n % 9000}", "kind": "PASSENGER", "maker": "현대", "model": f"모델 {n % 9}",
        "modelYear": 2005 + n % 20, "fuel": ("GASOLINE", "DIESEL", "ELECTRIC")[n % 3], "firstRegisteredOn": _day(n),
        "assessedValue": 1_000_000 + n,
    }),
)  # fmt: skip


def whole(leaves: int, agencies: tuple[Plain, ...] = PLAIN) -> dict[str, list[Record]]:
    """Every list, as a right answer has it."""
    return {each.holds: each.records(leaves) for each in agencies}


def flat_question(agencies: tuple[Plain, ...] = PLAIN) -> str:
    """The question as peers are asked it: one root field for each agency."""
    roots = " ".join(f"{each.holds}(person: $id) {{ {each.selection} }}" for each in agencies)
    return f"query Picture($id: ID!) {{ {roots} }}"


def our_question(agencies: tuple[Plain, ...] = PLAIN) -> str:
    """The same lists and leaves as our graph has them: one case, a section for each agency."""
    sections = " ".join(f"{each.name.lower()} {{ {each.holds} {{ {each.selection} }} }}" for each in agencies)
    return f"query Picture($id: ID!) {{ estateCase(id: $id) {{ {sections} }} }}"


def monolith() -> str:
    """The peers' schema in one."""
    return "".join(each.types for each in PLAIN) + "type Query {\n" + "".join(each.root for each in PLAIN) + "}\n"


def leaves_of(value: Any) -> int:
    """Leaves in an answer."""
    if isinstance(value, dict):
        return sum(map(leaves_of, value.values()))
    return sum(map(leaves_of, value)) if isinstance(value, list) else 1


# ---------------------------------------------------------------- serving


@dataclass(slots=True)
class State:
    leaves: int = BASE_LEAVES
    delay_s: float = 0.0


@lru_cache(maxsize=64)
def said(agency: Plain, leaves: int) -> bytes:
    """The whole response."""
    body = json.dumps(
        {"data": {agency.holds: agency.records(leaves)}}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection; it needs no more of HTTP than where a request ends."""

    def __init__(self, agency: Plain, state: State) -> None:
        self._agency, self._state = agency, state
        self._parser = httptools.HttpRequestParser(self)
        self._url = self._body = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        state = self._state
        if self._parser.get_method() == b"PUT":
            told = json.loads(self._body)
            state.leaves, state.delay_s = told["leaves"], told["delay_ms"] / 1000
        answer = said(self._agency, state.leaves)
        if state.delay_s:
            asyncio.get_running_loop().call_later(state.delay_s, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve() -> None:
    """Serve until standard input ends."""
    loop, state, ports = asyncio.get_running_loop(), State(), {}
    for agency in PLAIN:
        server = await loop.create_server(partial(Connection, agency, state), "127.0.0.1", 0, backlog=1024)
        ports[agency.name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
