"""Cases at the command line of an office: who handles one, giving it to somebody else, closing it.

Whoever does it proves with an access token that they are an official of the office that the case lies with. Nobody
gives a case to themself: two have to know of it, and the history names both.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from auth.viewer import Viewer
from cases.store import Assignment, CaseClosedError, CaseRecord, Cases
from resolvers.officials import handed_over
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role

SUBJECT: Final = re.compile(r"[a-z2-7]{26}")
LONGEST: Final = 500


class CaseError(Exception):
    """It cannot be done; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class CaseDesk:
    """What an official does to the cases of their office."""

    cases: Cases

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator["CaseDesk"]:
        """The desk over the database at this URL."""
        async with Cases.opened(url) as cases:
            yield cls(cases)

    async def shown(self, number: str, viewer: Viewer) -> dict[str, Any]:
        """Who handles a case and how that came; nothing of what it is about."""
        record = await self._of_office(number, viewer)
        return {
            "number": record.number,
            "kind": record.kind.name,
            "agency": record.agency,
            "office": record.office,
            "officer": record.officer,
            "openedAt": record.opened_at.isoformat(),
            "closedAt": record.closed_at.isoformat() if record.closed_at else None,
            "consents": sorted(each.name for each in await self.cases.consents(record)),
            "history": [
                {**asdict(each), "at": each.at.isoformat()} for each in await self.cases.case_events(record.id)
            ],
        }

    async def assign(
        self, number: str, viewer: Viewer, to: str, place: tuple[str | None, str | None], reason: str, now: datetime
    ) -> None:
        """Give a case to an official, of the same office unless another `place` (agency, office) is named."""
        record = await self._of_office(number, viewer)
        if not SUBJECT.fullmatch(to):
            raise CaseError("--to: give the 26 characters that are `sub` in the official's own tokens.")
        officer = PersonId(to)
        if officer in {viewer.person, record.applicant}:
            raise CaseError("--to: name somebody other than yourself and the applicant.")
        agency, office = place[0] or viewer.agency, place[1] or viewer.office
        grant = handed_over(record, officer, viewer.person, now)
        given = Assignment(grant, str(office), str(agency), _worded(reason))
        try:
            await self.cases.assign(record.id, given, viewer.person, now)
        except CaseClosedError as closed:
            raise CaseError("The case is closed. A new application at the counter opens it again.") from closed

    async def close(self, number: str, viewer: Viewer, reason: str, now: datetime) -> None:
        """Close a case: its officer sees it no more, the family does."""
        record = await self._of_office(number, viewer)
        try:
            await self.cases.close(record.id, viewer.person, _worded(reason), now)
        except CaseClosedError as closed:
            raise CaseError("The case is closed already.") from closed

    async def _of_office(self, number: str, viewer: Viewer) -> CaseRecord:
        if Role.OFFICIAL not in viewer.roles or viewer.assurance is not Assurance.HIGH:
            raise CaseError("Only an official signed in at high assurance may do this; give such a token.")
        record = await self.cases.case_numbered(number.strip().upper())
        theirs = (viewer.agency, viewer.office)
        if record is None or None in theirs or (record.office and theirs != (record.agency, record.office)):
            raise CaseError("There is no such case in the token's office. Check the number.")
        return record


def _worded(reason: str) -> str:
    words = " ".join(reason.split())
    if not 0 < len(words) <= LONGEST:
        raise CaseError(f"--reason: say why, in 1 to {LONGEST} characters.")
    return words
