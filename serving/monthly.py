"""The monthly review of an organisation's accesses and its sign-off: `onestop findings review`.

A privacy officer or auditor reads it, with the look as an entry of the log; a privacy officer signs for it once, after
the month (of Korea) is over. Roster and register are not asked, so who was merely on the roster counts as unexplained.
"""

import hashlib
import json
import re
from collections import Counter
from datetime import UTC, datetime
from heapq import nsmallest
from typing import Any, Final
from zoneinfo import ZoneInfo

from audit.entry import Access, Task
from audit.findings import from_log
from audit.findings.explanations import explained
from audit.findings.shapes import KOREA
from audit.searching import Search
from audit.store import Placed, microseconds
from audit.writer import AccessLog
from auth.viewer import Viewer
from cases.finding_steps import CLOSED, FindingRecord
from cases.monthly_reviews import AlreadySignedError, SignOff
from cases.store import Cases
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role
from serving.evaluation import A_DAY, Judging
from serving.officers import done

MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
SAMPLE: Final = 20
BATCH: Final = 200
LEGAL_BASIS: Final = "PIPA safety standard 8"


class ReviewRefusal(Exception):
    """The month may not be reviewed or signed for. The text says why and what to do."""


async def review(officer: Viewer, month: str, log: AccessLog, cases: Cases, now: datetime) -> dict[str, Any]:
    """The figures of the officer's organisation, and who signed for them. The look is recorded first."""
    here, since, until = _may_read(officer, month, now)
    await log.append([_entry(officer, month, now, sign=False)])
    return await _reviewed(here, month, since, until, log, cases)


async def sign_off(officer: Viewer, month: str, log: AccessLog, cases: Cases, now: datetime) -> dict[str, Any]:
    """The same, signed by the officer for good."""
    here, since, until = _may_read(officer, month, now)
    if Role.PRIVACY_OFFICER not in officer.roles:
        raise ReviewRefusal("Auditors read the review; a privacy officer signs for it.")
    if now < until:
        raise ReviewRefusal("--month: the month is not over yet. Sign for it when it is.")
    if any(each.state not in CLOSED for each in await cases.findings().about(PersonId(officer.person))):
        raise ReviewRefusal("A finding about you is open. Another privacy officer of the organisation has to sign.")
    await log.append([_entry(officer, month, now, sign=True)])
    seen = await _reviewed(here, month, since, until, log, cases)
    try:
        await cases.monthly_reviews().sign(SignOff(here, month, officer.person, now, seen["hash"]))
    except AlreadySignedError as error:
        raise ReviewRefusal(f"{month} is signed for already. Read it without --sign-off.") from error
    return await _with_signature(seen, cases)


def _may_read(officer: Viewer, month: str, now: datetime) -> tuple[str, datetime, datetime]:
    reviews = {Role.PRIVACY_OFFICER, Role.AUDITOR} & set(officer.roles)
    if not reviews or officer.on_behalf_of is not None or not officer.agency:
        raise ReviewRefusal("Only privacy officers and auditors of an organisation read its review: give such a token.")
    if officer.assurance is not Assurance.HIGH:
        raise ReviewRefusal("The review needs a sign-in at high assurance. Sign in again.")
    found = MONTH.fullmatch(month)
    if found is None:
        raise ReviewRefusal("--month: give a month as YYYY-MM, such as 2026-03.")
    year, number = int(found[1]), int(found[2])
    korea = ZoneInfo(KOREA)
    since = datetime(year, number, 1, tzinfo=korea).astimezone(UTC)
    until = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=korea).astimezone(UTC)
    if now < since:
        raise ReviewRefusal("--month: give a month that has begun.")
    return officer.agency, since, until


async def _reviewed(
    here: str, month: str, since: datetime, until: datetime, log: AccessLog, cases: Cases
) -> dict[str, Any]:
    search = Search(log.reading.engine, log.reading.vault)
    judging, accesses, of_all, told = Judging(search, cases), 0, 0, list[Placed]()
    at = await search.first_since(microseconds(since))
    while True:
        placed, last = await search.of_offices(at)
        # Leaves are in the order of writing, which is that of the moments but for seconds.
        if last is None or (placed and all(each.entry.access.at >= until + A_DAY for each in placed)):
            break
        at = last
        ours = [each for each in placed if _is_of(each.entry.access, here, since, until)]
        table, known = await judging.taken(ours)
        if not table.is_empty():
            judged = explained(table, known)
            accesses += len(judged)
            of_all += len(judged) - judged["explained_by"].null_count()
        told = nsmallest(SAMPLE, [*told, *ours], key=lambda each: _draw(month, each))
    findings = await _findings(here, since, until, cases)
    figures = {
        "organisation": here,
        "month": month,
        "accesses": accesses,
        "explained": of_all,
        "findings": len(findings),
        "byState": dict(sorted(Counter(each.state.value for each in findings).items())),
        "byRule": dict(sorted(Counter(rule for each in findings for rule in {n.rule for n in each.noticed}).items())),
        "sample": [
            {
                "entry": str(each.entry.id),
                "at": each.entry.access.at.isoformat(),
                "purpose": each.entry.access.purpose,
                "outcome": each.entry.access.outcome.value,
            }
            for each in sorted(told, key=lambda each: each.leaf_index)
        ],
    }
    hashed = hashlib.sha256(json.dumps(figures, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    share = {"explainedShare": of_all / accesses if accesses else None}
    return await _with_signature({**figures, **share, "hash": hashed}, cases)


def _is_of(access: Access, here: str, since: datetime, until: datetime) -> bool:
    return from_log.is_judged(access) and access.organisation == here and since <= access.at < until


def _draw(month: str, placed: Placed) -> bytes:
    """Where the lot puts an entry: the same for everybody who reviews the month, and nobody's choice."""
    return hashlib.sha256(f"{month}/{placed.entry.id}".encode()).digest()


async def _findings(here: str, since: datetime, until: datetime, cases: Cases) -> list[FindingRecord]:
    found, before = list[FindingRecord](), (until, "")
    while True:
        some = await cases.findings().of_organisation(here, first=BATCH, before=before)
        found += [each for each in some if each.raised_at >= since]
        if len(some) < BATCH or some[-1].raised_at < since:
            return found
        before = (some[-1].raised_at, some[-1].id)


async def _with_signature(seen: dict[str, Any], cases: Cases) -> dict[str, Any]:
    signed = await cases.monthly_reviews().of(seen["organisation"], seen["month"])
    told = signed and {
        "officer": signed.officer,
        "at": signed.at.isoformat(),
        "hash": signed.figures,
        "asNow": signed.figures == seen["hash"],
    }
    return {**seen, "signedOff": told}


def lines(seen: dict[str, Any]) -> str:
    """What was reviewed, to be read."""
    share, signed = seen["explainedShare"], seen["signedOff"]
    told = [
        f"{seen['organisation']}, {seen['month']}",
        f"accesses   {seen['accesses']:,}, {'none' if share is None else f'a share of {share:.4f}'} explained",
        f"findings   {seen['findings']}",
        *(f"  {state:<22}{number:>6}" for state, number in seen["byState"].items()),
        *(f"  {rule:<22}{number:>6}" for rule, number in seen["byRule"].items()),
        "to look at",
        *(f"  {each['entry']}  {each['at']}  {each['purpose'] or '-'}  {each['outcome']}" for each in seen["sample"]),
        f"hash       {seen['hash']}",
    ]
    if signed is None:
        return "\n".join([*told, "Nobody signed for it."])
    changed = "" if signed["asNow"] else f", over figures that were others then: {signed['hash']}"
    return "\n".join([*told, f"Signed for by {signed['officer']} at {signed['at']}{changed}."])


def _entry(officer: Viewer, month: str, now: datetime, *, sign: bool) -> Access:
    said = {"month": month, "signOff": sign}
    return done(officer, Task.LOG_VIEW, "MonthlyReview", now, legal_basis=LEGAL_BASIS, variables=said)
