"""What one mandate lets its holder see: the policies over the facts, a proxy's never beyond those of its giver.

A proxy is ruled on twice, as a proxy and as the heir who gave it, and sees what both rulings show (decision table D13);
a proxy of all heirs, as that of each.
The mandate's own bounds, by agency and sensitivity, come on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from auth.policy import Effect, Facts, Need, Policies, Ruling, Verdict
from schema.case import RefusalCode
from schema.disclosure import Agency, Sensitivity

ENTRY = [Need(agency, Sensitivity.PRESENCE) for agency in sorted(Agency, key=lambda each: each is not Agency.REGISTRY)]
"""What a case is entered for, the register first."""


@dataclass(frozen=True, slots=True)
class Power:
    """The facts of a question; `giver`: those of the heir for whom a proxy asks. None is no bound.

    `others`: the same for every other heir, where it is a proxy of all of them.
    """

    facts: Facts
    giver: Facts | None = None
    agencies: frozenset[Agency] | None = None
    sensitivity: Sensitivity | None = None
    others: tuple["Power", ...] = ()

    def ruling(self, policies: Policies, needs: Sequence[Need]) -> Ruling:
        """A verdict on every need."""
        needs = list(dict.fromkeys(needs))  # a document reads many fields that need the same
        own = policies.ruling(self.facts, needs)
        if self.giver is not None:
            givers = policies.ruling(self.giver, needs)
            own = {need: _both(verdict, givers[need]) for need, verdict in own.items()}
        own = {need: verdict if self._reaches(need) else _beyond(verdict) for need, verdict in own.items()}
        for other in self.others:
            theirs = other.ruling(policies, needs)
            own = {need: _both(verdict, theirs[need]) for need, verdict in own.items()}
        return own

    def entering(self, policies: Policies) -> Verdict:
        """Whether it opens the case at all: it shows that some agency knows of the person, or else why not."""
        verdicts = list(self.ruling(policies, ENTRY).values())
        told = [each for each in verdicts if each.refusal is not RefusalCode.OUT_OF_SCOPE]
        return next((each for each in verdicts if each.shows), (told or verdicts)[0])

    def _reaches(self, need: Need) -> bool:
        return (self.agencies is None or need.agency in self.agencies) and (
            self.sensitivity is None or need.sensitivity <= self.sensitivity
        )


def _both(own: Verdict, givers: Verdict) -> Verdict:
    """The narrower of two verdicts, decided by the policies of both."""
    narrower = givers if own.shows and givers.effect is not Effect.ALLOW else own
    return replace(narrower, policies=tuple(sorted({*own.policies, *givers.policies})))


def _beyond(verdict: Verdict) -> Verdict:
    return replace(verdict, effect=Effect.WITHHOLD, refusal=RefusalCode.OUT_OF_SCOPE) if verdict.shows else verdict
