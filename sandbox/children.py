"""What a child is due by its day of birth: immunizations and check-ups of the national schedules."""

from datetime import date, timedelta
from hashlib import sha256

from sandbox.facts import Checkup, Immunization
from sandbox.tables import CHECKUPS, VACCINES, months_after


def _days_late(born: date, label: str, window: timedelta) -> timedelta:
    """Some days after the first possible one: the same for the same birthday and dose."""
    digest = sha256(f"{born.isoformat()}/{label}".encode()).digest()
    return timedelta(days=digest[0] % max(1, min(window.days, 14)))


def immunizations(born: date, seen: date) -> tuple[Immunization, ...]:
    """Every dose of the national programme: given on a day up to `seen`, or due in a window."""
    doses = []
    for vaccine, dose, months_from, months_before in VACCINES:
        due_from = months_after(born, months_from)
        due_until = months_after(born, months_before) - timedelta(days=1)
        given = due_from + _days_late(born, f"{vaccine}{dose}", due_until - due_from)
        if given <= seen:
            doses.append(Immunization(vaccine, dose, given, None, None))
        else:
            doses.append(Immunization(vaccine, dose, None, due_from, due_until))
    return tuple(doses)


def checkups(born: date, seen: date) -> tuple[Checkup, ...]:
    """The eight check-ups, with the day on which each was taken up to `seen`."""
    windows = [(born + timedelta(days=14), born + timedelta(days=35))]
    windows += [
        (months_after(born, since), months_after(born, before) - timedelta(days=1)) for since, before in CHECKUPS
    ]
    rounds = []
    for number, (due_from, due_until) in enumerate(windows, start=1):
        taken = due_from + _days_late(born, f"checkup{number}", due_until - due_from)
        rounds.append(Checkup(number, due_from, due_until, taken if taken <= seen else None))
    return tuple(rounds)
