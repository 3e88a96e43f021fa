"""Whether time tells what kind of id was asked for: unknown, another's, a protected person's, or none at all.

`python benchmarks/silence.py [--times 1000]` starts `onestop serve`, asks an estate by an id of each kind, all kinds
mixed, and compares the distributions of the times with those of the unknown id (two-sample Kolmogorov-Smirnov). It
fails when one differs with p <= 0.01 in three tries; a real difference is found in every try, chance in one of them.
"""

import argparse
import asyncio
import http.client
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from scipy.stats import ks_2samp

sys.path.insert(0, str(Path(__file__).parents[1]))

from auth.ids import SANDBOX_ROOT, Ids
from cases.store import Cases, Evidence, Grant, Request
from sandbox.identifiers import persona_subject
from schema.case import CaseKind, MandateRole, Purpose
from schema.identifiers import PersonId
from tests.journeys.client import Onestop, serving

QUESTION = "query($id: ID!) { estateCase(id: $id) { status land { parcels { pnu } } } }"
TRIES, WARM = 3, 50


def person(name: str) -> PersonId:
    """A persona, or somebody of theirs."""
    return PersonId(persona_subject(name))


async def protected_case(directory: Path) -> str:
    """A case of a protected person, opened before the protection: its internal id."""
    now = datetime.now(UTC)
    proof = Evidence("FAMILY_REGISTER", "Family register", now, "HIGH", "0" * 64, "onestop")
    holder = person("protected-person")
    grant = Grant(MandateRole.HEIR, holder, Purpose.ESTATE_DISCOVERY, "Civil Act 1000", "Family register", proof)
    request = Request(holder, uuid.uuid4().hex, "0" * 64)
    async with Cases.opened(f"sqlite+aiosqlite:///{directory}/cases.db", migrate=False) as cases:
        subject = person("protected-person/deceased")
        return (await cases.opened_case(CaseKind.ESTATE, subject, grant, request, now)).id


def ids_of(onestop: Onestop) -> dict[str, str]:
    """One id of each kind, as the stranger's client could have got hold of it."""
    ids, foreign = Ids(SANDBOX_ROOT), onestop.as_("heir").case()
    return {
        "unknown": ids.sealed("sandbox-portal", "ESTATE", str(uuid.uuid4())),
        "foreign": foreign,
        "protected": ids.sealed("sandbox-portal", "ESTATE", asyncio.run(protected_case(onestop.directory))),
        "malformed": foreign[:-1] + ("A" if foreign[-1] != "A" else "B"),
        "garbage": "garbage",
    }


def measured(onestop: Onestop, ids: dict[str, str], times: int, dice: random.Random) -> dict[str, list[float]]:
    """Milliseconds from sending to the last byte, in the order they were drawn in."""
    parts = urlsplit(onestop.url)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {onestop.token('stranger')}"}
    found: dict[str, list[float]] = {kind: [] for kind in ids}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    kinds = [kind for kind in ids for _ in range(times + WARM)]
    dice.shuffle(kinds)
    for kind in kinds:
        body = json.dumps({"query": QUESTION, "variables": {"id": ids[kind]}})
        started = time.perf_counter()
        connection.request("POST", "/graphql", body, headers)
        said = connection.getresponse().read()
        found[kind].append((time.perf_counter() - started) * 1000)
        assert b'"NOT_ACCESSIBLE"' in said
    connection.close()
    return {kind: values[WARM:] for kind, values in found.items()}


def main() -> int:
    """Measure, at most three times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000, help="requests of each kind")
    times = parser.parse_args().times
    dice = random.Random(7)  # noqa: S311 - the same order each time
    with tempfile.TemporaryDirectory(prefix="onestop-silence-") as folder, serving(Path(folder), {}) as onestop:
        ids = ids_of(onestop)
        for attempt in range(1, TRIES + 1):
            found = measured(onestop, ids, times, dice)
            told = {kind: float(ks_2samp(found["unknown"], found[kind]).pvalue) for kind in ids if kind != "unknown"}
            medians = {kind: f"{statistics.median(values):.2f} ms" for kind, values in found.items()}
            print(
                f"try {attempt}: medians {medians}; p against unknown { ({k: round(p, 3) for k, p in told.items()}) }"
            )
            if min(told.values()) > 0.01:
                return 0
    print("The time tells.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
