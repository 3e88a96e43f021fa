"""Entering an order that somebody is told only later of accesses to their data: `onestop log delay`.

A privacy officer does, for their own organisation, with a reason, and for no longer than the setting allows. That it
was done is itself an entry about the person, which they see when the order ends.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from audit.entry import Task, Visibility
from audit.writer import AccessLog
from auth.viewer import Viewer
from cases.delays import Delay, Delays
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role
from serving.officers import done

PERSON: Final = re.compile(r"[a-z2-7]{26}")
LONGEST: Final = {"authority": 120, "order": 120, "reason": 500}


class DelayRefusal(Exception):
    """The order may not be entered. The text says why and what to do."""


def delay_until(person: str, until: datetime, officer: Viewer, now: datetime, most_days: int, **said: str) -> Delay:
    """The order as an officer may enter it: `said` has authority, order and reason. Raise DelayRefusal."""
    if Role.PRIVACY_OFFICER not in officer.roles or officer.on_behalf_of is not None or not officer.agency:
        raise DelayRefusal("Only a privacy officer delays what a person is told. Give a privacy officer's token.")
    if officer.assurance is not Assurance.HIGH:
        raise DelayRefusal("Delaying needs a sign-in at high assurance. Sign in again.")
    if not PERSON.fullmatch(person):
        raise DelayRefusal("--person: give the person as `subject` in the officers' part of an export.")
    if person == officer.person:
        raise DelayRefusal("--person: nobody delays what is told about themself; ask a colleague.")
    if not now < until <= now + timedelta(days=most_days):
        raise DelayRefusal(f"--until: give a moment to come, at most {most_days} days ahead.")
    for name, most in LONGEST.items():
        if not 1 <= len(said[name].strip()) <= most:
            raise DelayRefusal(f"--{name}: say it, in at most {most} characters.")
    return Delay(
        person=PersonId(person),
        organisation=officer.agency,
        since=now,
        until=until,
        authority=said["authority"].strip(),
        order=said["order"].strip(),
        reason=said["reason"].strip(),
        entered_by=officer.person,
    )


async def enter(delay: Delay, officer: Viewer, log: AccessLog, delays: Delays) -> None:
    """Write down that it is done, then do it."""
    entered = done(
        officer,
        Task.UPDATE,
        "DelayVisibility",
        delay.since,
        subject=delay.person,
        legal_basis=f"{delay.authority}, {delay.order}",
        reason=delay.reason,
        visibility=Visibility(delay.until, delay.authority, delay.order),
    )
    await log.append([entered])
    await delays.add(delay)
