"""What it costs per request to know who asks and what they may see: token, proof and ruling.

`python benchmarks/rights.py [--times 200] [--rounds 5]` prints a Markdown table: the median of the rounds' medians, how
far these lie apart, and the ratio to the whole estate question (persona `heir`, every field, over HTTP, one at a time,
in the same rounds). Tokens, proofs and rulings go through the parts that serve, in this process. Each proof is a new
one. The shared store of proofs is SQLite in a file, and PostgreSQL on a socket, both with their syncs.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey

sys.path.insert(0, str(Path(__file__).parents[1]))

from auth import dpop
from auth.policy import Facts, Need, Policies
from auth.token import TokenCheck
from benchmarks.estate_question import ESTATE, asking, opened
from cases.store import Cases
from schema.case import Purpose
from schema.disclosure import Agency, Sensitivity
from serving.possession import new_key, proof
from tests.journeys.client import commanded, serving
from tests.postgres import postgres_server

ISSUER, URL = "https://issuer.test", "https://onestop.test/graphql"
SENDER = new_key()
HEIR = Facts(
    "HEIR", Purpose.ESTATE_DISCOVERY, 3, fresh=True, mandate_active=True, opened_in_time=True, rank=1, sender_bound=True
)
ASKED = (Agency.LAND, Agency.FINANCE, Agency.PENSIONS, Agency.TAX, Agency.HEALTH, Agency.VEHICLES)
NEEDS = [Need(agency, sensitivity) for agency in ASKED for sensitivity in Sensitivity]


@dataclass
class Part:
    """Something that is paid for in a request. What `made` gives is not timed."""

    name: str
    run: Callable[[Any], Awaitable[object]]
    made: Callable[[], Any] = lambda: None
    medians: list[float] = field(default_factory=list)
    """Milliseconds, one per round."""

    async def measure(self, times: int) -> None:
        """One round."""
        taken = []
        for _ in range(times):
            given = self.made()
            started = time.perf_counter()
            await self.run(given)
            taken.append((time.perf_counter() - started) * 1000)
        self.medians.append(statistics.median(taken))

    @property
    def ms(self) -> float:
        return statistics.median(self.medians)

    def row(self, whole: "Part") -> str:
        """Of the table."""
        spread = f"{min(self.medians):.3f} to {max(self.medians):.3f}"
        return f"| {self.name} | {self.ms:.3f} | {spread} | {self.ms / whole.ms:.2%} |"


def token(key: Key, alg: str, **more: Any) -> str:
    """An access token as an issuer gives it."""
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": ISSUER, "aud": URL, "sub": "a" * 26, "client_id": "portal", "jti": "j", "iat": now, "exp": now + 3600,
        "acr": "urn:onestop:loa:3", "auth_time": now, "roles": ["CITIZEN"],
    }  # fmt: skip
    return jwt.encode({"alg": alg, "typ": "at+jwt", "kid": alg}, {**claims, **more}, key, algorithms=[alg])


def tokens() -> Iterator[Part]:
    """A token by each algorithm, with the issuer's keys at hand."""
    keys: dict[str, Key] = {
        "ES256": ECKey.generate_key("P-256", {"kid": "ES256"}),
        "PS256": RSAKey.generate_key(2048, {"kid": "PS256"}),
        "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "Ed25519"}),
    }
    published = KeySet(list(keys.values()))

    async def found(_kid: str) -> KeySet:
        return published

    check = TokenCheck(ISSUER, URL, found, unstored, bearer_allowed=True)
    for alg, key in keys.items():
        sent = f"Bearer {token(key, alg)}"
        yield Part(f"token, {alg}", lambda _, sent=sent: check.viewer(sent, datetime.now(UTC)))  # type: ignore[misc]


async def unstored(_proof: str, _until: datetime, _now: datetime) -> bool:
    """No store: every proof is the first."""
    return True


def proofs(stores: dict[str, dpop.Once]) -> Iterator[Part]:
    """A proof that somebody else made, with each store; then the making, which the portal's session does itself."""

    def shown() -> str:
        return proof(SENDER, "POST", URL, datetime.now(UTC), token="a token")  # noqa: S106 - no secret

    for name, store in stores.items():

        async def check(sent: str, store: dpop.Once = store) -> None:
            asked = dpop.Shown(sent, "POST", URL)
            await dpop.check(asked, "a token", SENDER.thumbprint(), store, datetime.now(UTC))

        yield Part(f"proof, {name}", check, shown)

    async def make(_: None) -> None:
        shown()

    yield Part("a proof made for a browser's session", make)


def rulings() -> Iterator[Part]:
    """A ruling on six agencies in five sensitivities: on facts that are new, and on those of a moment ago."""
    policies = Policies(sys.exit)
    ages = count()

    async def rule(facts: Facts) -> None:
        policies.ruling(facts, NEEDS)

    yield Part(f"ruling on {len(NEEDS)} pairs, new facts", rule, lambda: replace(HEIR, child_age=next(ages)))
    yield Part(f"ruling on {len(NEEDS)} pairs, remembered", rule, lambda: HEIR)


async def table(folder: Path, times: int, rounds: int) -> None:
    """Measure all parts in each round, so that a busy machine is busy for all of them."""
    known = json.loads(commanded("sandbox", "--people", "0", "people", "--json"))
    async with AsyncExitStack() as stack:
        onestop = stack.enter_context(serving(folder, known))
        ask = asking(onestop.url, onestop.token("heir"))
        variables = {"id": opened(ask)}

        async def question(_: None) -> None:
            ask(ESTATE, variables)

        whole = Part("the whole estate question", question)
        # the fixture of the tests, by its function: one way to start a PostgreSQL
        server = next(servers := postgres_server.__wrapped__())  # type: ignore[attr-defined]
        stack.callback(lambda: next(servers, None))
        there = server.get_postmaster_info().socket_dir
        sqlite = await stack.enter_async_context(Cases.opened(f"sqlite+aiosqlite:///{folder}/proofs.db"))
        postgres = await stack.enter_async_context(
            Cases.opened(f"postgresql+asyncpg://postgres@/postgres?host={there}")
        )
        stores = {
            "not stored": unstored,
            "stored in SQLite": sqlite.proofs.first,
            "stored in PostgreSQL": postgres.proofs.first,
        }
        parts = [*tokens(), *proofs(stores), *rulings(), whole]
        for part in parts:
            await part.measure(20)
            part.medians.clear()
        for _ in range(rounds):
            for part in parts:
                await part.measure(times if part is not whole else max(times // 5, 1))
    print(f"| per request | median, ms | {rounds} rounds of {times} | of the whole |")
    print("|---|---|---|---|")
    for part in parts:
        print(part.row(whole))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="per part and round; a fifth of it for the whole")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="onestop-rights-") as folder:
        asyncio.run(table(Path(folder), given.times, given.rounds))


if __name__ == "__main__":
    main()
