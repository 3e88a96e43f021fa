"""Identifiers of the house, so that a string that nobody checked is not one of them.

None of these is ever in the graph: a portal sees opaque ids that auth/ids.py seals.
"""

from typing import NewType

PersonId = NewType("PersonId", str)
"""Internal id of a person, 26 characters of base32 (128 random bits). Kept by the family register; never shown."""

SectorId = NewType("SectorId", str)
"""What one agency calls a person: HMAC of the internal id under the agency's key, ``lan1_k3...`` (auth/ids.py)."""

CaseId = NewType("CaseId", str)
"""Internal id of a case (UUID text)."""
