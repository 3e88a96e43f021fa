"""What the six agencies hold of one person.

Drawn on demand from (seed, person, agency) and the person's family: nothing is kept, and the order of asking does not
matter. The dead keep what they had. Personas' dead and newborn are written out in persona_holdings.py instead.
"""

from sandbox.facts import Holdings, Nation, Subject
from sandbox.holdings.finance import finance
from sandbox.holdings.health import health
from sandbox.holdings.land import land
from sandbox.holdings.pensions import pensions
from sandbox.holdings.profile import profile
from sandbox.holdings.tax import tax
from sandbox.holdings.vehicles import vehicles
from sandbox.persona_holdings import written_holdings

__all__ = ["holdings"]


def holdings(nation: Nation, subject: Subject) -> Holdings:
    """All that is held of one person of the nation; KeyError for anybody else."""
    written = written_holdings(subject, nation.today)
    if written is not None:
        return written
    about = profile(nation, subject)
    return Holdings(
        land=land(about),
        finance=finance(about),
        pensions=pensions(about),
        tax=tax(about),
        health=health(about),
        vehicles=vehicles(about),
    )
