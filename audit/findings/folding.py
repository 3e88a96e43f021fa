"""Hits into findings: what one official gave cause for within 30 days is one question to them, not thirty."""

import uuid
from collections.abc import Iterable
from itertools import groupby

from audit.findings.shapes import FOLDED, Finding, Hit

NAMES = uuid.UUID("0192f5a4-3c1e-7a55-9d20-6f6e6573746f")
"""Whatever this is, it stays: findings are named under it."""


def folded(hits: Iterable[Hit]) -> list[Finding]:
    """Findings by official and time. Their ids follow from whom and since when, so the same hits give the same ones."""
    ordered = sorted(set_of(hits), key=lambda hit: (str(hit.official), hit.at, hit.rule, hit.entries))
    found: list[Finding] = []
    for official, theirs in groupby(ordered, key=lambda hit: hit.official):
        window: list[Hit] = []
        for hit in theirs:
            if window and hit.at - window[0].at >= FOLDED:
                found.append(_finding(official, window))
                window = []
            window.append(hit)
        found.append(_finding(official, window))
    return sorted(found, key=lambda finding: (finding.raised_at, finding.id))


def set_of(hits: Iterable[Hit]) -> list[Hit]:
    """Each rule's hit on the same entries once, the last word on its numbers."""
    return list({(hit.rule, hit.official, hit.at, hit.entries): hit for hit in hits}.values())


def _finding(official: str | int | None, hits: list[Hit]) -> Finding:
    return Finding(str(uuid.uuid5(NAMES, f"{official}/{hits[0].at.isoformat()}")), official, tuple(hits))
