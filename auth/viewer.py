"""Who is asking, as their token says and nothing more."""

from dataclasses import dataclass
from datetime import datetime

from schema.identifiers import PersonId
from schema.viewer import Assurance, Role


@dataclass(frozen=True, slots=True)
class Viewer:
    """The bearer of a valid access token.

    `person` is the token's subject. `office` and `agency` are an official's. `case` narrows the token to one case.
    `sender_bound` tells whether possession of a key was proved with the request (RFC 9449).
    """

    person: PersonId
    client: str
    roles: frozenset[Role]
    assurance: Assurance
    signed_in_at: datetime | None
    token_id: str
    expires_at: datetime
    office: str | None = None
    agency: str | None = None
    name: str | None = None
    on_behalf_of: PersonId | None = None
    case: str | None = None
    issued_at: datetime | None = None
    sender_bound: bool = False

    @property
    def is_official(self) -> bool:
        """Whether the viewer is in office."""
        return not self.roles.isdisjoint({Role.OFFICIAL, Role.PRIVACY_OFFICER, Role.AUDITOR})
