"""The protected list at the command line: `onestop protected`.

A privacy officer keeps that of their own organisation, with a reason each time. Nobody puts their own record on it or
off it, nor lets themself look.
"""

import hashlib
import re
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auth.viewer import Viewer
from cases.protected import Change, Deed, ProtectedList, UnchangedError, spells
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role

SUBJECT: Final = re.compile(r"[a-z2-7]{26}")
LONGEST: Final = 500
UNCHANGED: Final = {
    Deed.ADD: "The person is on your organisation's list already.",
    Deed.REMOVE: "The person is not on your organisation's list.",
    Deed.ALLOW: "The official may look already, or the person is not on your organisation's list: then add them first.",
    Deed.DISALLOW: "The official is not among those who may look.",
}


class ProtectedError(Exception):
    """It cannot be done; the text says why and what to do."""


def kept_cipher(id_root: bytes) -> AESGCM:
    """What our own records seal with: answers that came later, and whom the protected list is about."""
    return AESGCM(hashlib.sha256(b"onestop/kept/1" + id_root).digest())


def organisation(officer: Viewer) -> str:
    """Whose list a privacy officer keeps. Raises `ProtectedError` for anybody else."""
    if Role.PRIVACY_OFFICER not in officer.roles or officer.on_behalf_of is not None or not officer.agency:
        raise ProtectedError("Only a privacy officer keeps the protected list. Give a privacy officer's token.")
    if officer.assurance is not Assurance.HIGH:
        raise ProtectedError("The protected list needs a sign-in at high assurance. Sign in again.")
    return officer.agency


async def change(
    kept: ProtectedList, deed: Deed, officer: Viewer, whom: tuple[str, str | None], reason: str, now: datetime
) -> None:
    """Do it to the officer's own list: `whom` is the person, and the official whom it lets look or no more."""
    mine, (person, official) = organisation(officer), whom
    for name, said in (("--person", person), ("--official", official)):
        if said is not None and not SUBJECT.fullmatch(said):
            raise ProtectedError(f"{name}: give the 26 characters that are `subject` in an export, `sub` in tokens.")
        if said == officer.person:
            raise ProtectedError(f"{name}: nobody decides about themself; ask a colleague.")
    if person == official:
        raise ProtectedError("--official: name somebody other than the person.")
    words = " ".join(reason.split())
    if not 0 < len(words) <= LONGEST:
        raise ProtectedError(f"--reason: say why, in 1 to {LONGEST} characters.")
    new = Change(
        at=now,
        deed=deed,
        organisation=mine,
        person=PersonId(person),
        official=None if official is None else PersonId(official),
        actor=officer.person,
        reason=words,
    )
    try:
        await kept.change(new)
    except UnchangedError as unchanged:
        raise ProtectedError(UNCHANGED[deed]) from unchanged


async def listed(kept: ProtectedList, officer: Viewer, *, history: bool) -> list[dict[str, Any]]:
    """Who is on the officer's own list and who may look, or all that was ever done to it."""
    changes = await kept.changes(organisation(officer))
    shown = changes if history else [each.begun for each in spells(changes) if each.until is None]
    return [{**asdict(each), "at": each.at.isoformat(timespec="seconds")} for each in shown]


def lines(found: list[dict[str, Any]]) -> str:
    """The same, to be read."""
    said = [
        f"{each['at']}  {each['deed']:8}  {each['person']}  {each['official'] or '-':26}  "
        f"by {each['actor']}  {each['reason']}"
        for each in found
    ]
    return "\n".join(said) or "Nobody is on the list."
