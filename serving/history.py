"""The rules over what the log holds already: `onestop findings evaluate`.

Our records and the log say what was known. Roster and register are not asked: they know the present, so nothing is
FAMILY_MEMBER here, and an official who was merely on the roster counts as unexplained.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.findings.folding import folded
from audit.findings.shapes import Hit, Rule
from audit.reading import Reading
from audit.searching import Search
from cases.protected import ProtectedList
from cases.store import Cases
from serving.evaluation import Judging


async def evaluated(
    reading: Reading, cases: Cases, since: int, now: datetime, *, keep: bool, protected: ProtectedList | None = None
) -> dict[str, Any]:
    """Judge every entry from a leaf index on, and keep what was noticed like the minute does. Figures as plain values.

    What lies before is only looked back on. Twice the same is noticed once, whoever noticed it first.
    """
    search, hits, new = Search(reading.engine, reading.vault), list[Hit](), 0
    judging = Judging(search, cases, protected=protected)
    at = since - 1
    first, _ = await judging.search.of_offices(at, 1)
    if first:
        await judging.remember(at, first[0].entry.access.at)
    judging.evaluation.accesses = judging.evaluation.explained = 0
    while True:
        found, last = await judging.went_through(at)
        if last == at:
            break
        hits += found
        if keep:
            new += await judging.kept(found, now)
        at = last
    of_all, explained = judging.evaluation.accesses, judging.evaluation.explained
    findings = folded(hits)
    noticed, gravest = Counter(hit.rule for hit in hits), Counter(finding.rule for finding in findings)
    return {
        "since": since,
        "until": at,
        "accesses": of_all,
        "explained_share": explained / of_all if of_all else None,
        "findings": len(findings),
        "new": new,
        "rules": {rule.value: {"findings": gravest[rule], "noticed": noticed[rule]} for rule in Rule},
    }


def table(result: Mapping[str, Any]) -> str:
    """What was found, to be read."""
    share = result["explained_share"]
    lines = [f"{'rule':<20}{'findings':>9}{'noticed':>9}"]
    lines += [f"{rule:<20}{each['findings']:>9}{each['noticed']:>9}" for rule, each in result["rules"].items()]
    lines.append(
        f"{result['accesses']:,} accesses; {'none' if share is None else f'a share of {share:.4f}'} explained."
    )
    lines.append(f"{result['findings']} findings; {result['new']} things were not noticed before.")
    return "\n".join(lines)
