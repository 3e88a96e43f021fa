"""The family register: persons, and who is related to whom. REST and JSON.

It is the vault of identities: the only agency that knows internal ids and registration numbers.
Source: docs/wire/README.md, "REGISTRY"; degrees of kinship by the Civil Act, articles 768 to 771.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.events import Events
from sandbox.agencies.frame import (
    AgencyState,
    Question,
    about,
    application,
    bad_request,
    camel,
    checked,
    json_response,
    members,
    met,
    no_answer,
)
from sandbox.facts import Nation, Person, Subject

NEAR, CLOSE = 4, 2  # degrees


def registry(state: AgencyState) -> Starlette:
    """Build the agency, with an index of the families and of the names."""
    nation = state.nation
    sid_of = {subject: sid for sid, subject in state.sids.items()}
    family = Family(nation)
    happened = Events(state.sids, nation.today)
    events = [
        (name, roles, _by_first(getattr(nation, name), roles[0]))
        for name, roles in (
            ("parentage", ("parent", "child")),
            ("marriages", ("a", "b")),
            ("guardianships", ("ward", "guardian")),
            ("declarations", ("deceased", "heir")),
            ("appointments", ("deceased", "holder")),
            ("disputes", ("deceased",)),
            ("protection_orders", ("protected", "against")),
        )
    ]
    namesakes: defaultdict[tuple[str, date], list[Person]] = defaultdict(list)
    for each in nation.people.values():
        namesakes[each.name, each.born].append(each)

    def written(person: Person) -> dict[str, Any]:
        birth, person = nation.births.get(person.subject), happened.person(person)
        return {
            "personId": sid_of[person.subject],
            "subject": person.subject,
            "name": person.name,
            "birthDate": person.born,
            "deathDate": person.died,
            "missingDeclaredOn": person.missing_declared_on,
            "missingFinalOn": person.missing_final_on,
            "sex": person.sex,
            "address": None if person.protected else person.address,
            "municipality": person.municipality,
            "maskedRegistrationNumber": person.registration_number[:8] + "******",
            "protected": person.protected,
            "birth": birth and members(birth, "child"),
        }

    def one(question: Question, person: Person) -> Response:
        return json_response(
            {
                "requestId": question.request_id,
                "personId": question.sid,
                "asOf": state.as_of,
                "person": written(person),
            }
        )

    def relatives(question: Question, person: Person) -> Response:
        known = family.known_with(person.subject)
        return json_response(
            {
                "requestId": question.request_id,
                "personId": question.sid,
                "asOf": state.as_of,
                "persons": [written(nation.people[each]) for each in sorted(known)],
                **{
                    camel(name): [
                        members(event) | {role: sid_of[getattr(event, role)] for role in roles}
                        for each in sorted(known)
                        for event in (*of_person.get(each, ()), *happened.of(name, each))
                        if all(getattr(event, role) in known for role in roles)
                    ]
                    for name, roles, of_person in events
                },
            }
        )

    async def lookup(request: Request) -> Response:
        request_id = checked(state, request)
        try:
            name, born, number = _looked_for(await request.json())
        except ValueError:
            raise bad_request(request_id) from None
        found = [
            each
            for each in namesakes.get((name, born), ())
            if number in {None, each.registration_number.replace("-", "")}
        ]
        if len(found) != 1:
            raise no_answer(404, {"error": "UNKNOWN_PERSON", "requestId": request_id})
        sid = sid_of[found[0].subject]
        await met(state, sid, request_id)
        return json_response({"requestId": request_id, "personId": sid, "person": written(found[0])})

    def route(path: str, answer: Callable[[Question, Person], Response]) -> Route:
        return Route(path, about(state, "personId", nation.people.get, answer))

    return application(
        state,
        [
            route("/v1/persons/{sid}", one),
            route("/v1/persons/{sid}/relatives", relatives),
            Route("/v1/lookup", lookup, methods=["POST"]),
            *happened.routes(),
        ],
    )


class Family:
    """Who is related to whom, by blood, by marriage and by a court's order."""

    def __init__(self, nation: Nation) -> None:
        """Index the register."""
        self._died = {subject for subject, person in nation.people.items() if person.died or person.missing_declared_on}
        self._parents: defaultdict[Subject, list[Subject]] = defaultdict(list)
        self._children: defaultdict[Subject, list[Subject]] = defaultdict(list)
        self._spouses: defaultdict[Subject, list[Subject]] = defaultdict(list)
        self._connected: defaultdict[Subject, list[Subject]] = defaultdict(list)
        for tie in nation.parentage:
            self._parents[tie.child].append(tie.parent)
            self._children[tie.parent].append(tie.child)
        pairs = [(self._spouses, each.a, each.b) for each in nation.marriages]
        pairs += [(self._connected, each.ward, each.guardian) for each in nation.guardianships]
        pairs += [(self._connected, each.deceased, each.holder) for each in nation.appointments]
        pairs += [(self._connected, each.protected, each.against) for each in nation.protection_orders]
        for ties, one, other in pairs:
            ties[one].append(other)
            ties[other].append(one)

    def known_with(self, subject: Subject) -> set[Subject]:
        """Everybody whom the register names with one person.

        Blood relatives to the fourth degree, and those of a husband or wife to the second; for each deceased among
        them, blood relatives of that person, of the husband or wife and of the children to the second degree; then the
        husbands and wives of all, and who is connected with any of them by a guardianship, an appointment or an order.
        """
        known = self._blood(subject, NEAR) | self._all(self._spouses[subject], CLOSE)
        for deceased in known & self._died:
            known |= self._blood(deceased, CLOSE)
            known |= self._all(self._spouses[deceased] + self._children[deceased], CLOSE)
        for ties in (self._spouses, self._connected):
            known |= {other for each in known for other in ties.get(each, ())}
        return known

    def _all(self, subjects: Iterable[Subject], degree: int) -> set[Subject]:
        return {each for subject in subjects for each in self._blood(subject, degree)}

    def _blood(self, subject: Subject, degree: int) -> set[Subject]:
        """Blood relatives: some steps up to an ancestor, then down; a step is a degree."""
        found = {subject}
        ancestors = {subject}
        for up in range(degree + 1):
            line = ancestors
            for _down in range(degree - up):
                line = {child for each in line for child in self._children.get(each, ())}
                found |= line
            ancestors = {parent for each in ancestors for parent in self._parents.get(each, ())}
            if up < degree:
                found |= ancestors
        return found


def _by_first(events: Iterable[Any], role: str) -> dict[Subject, list[Any]]:
    found: defaultdict[Subject, list[Any]] = defaultdict(list)
    for event in events:
        found[getattr(event, role)].append(event)
    return found


def _looked_for(body: object) -> tuple[str, date, str | None]:
    """Name, day of birth and registration number of a lookup; ValueError when the body is anything else."""
    match body:
        case {"name": str(name), "birthDate": str(born), "registrationNumber": str() | None as number}:
            return name, date.fromisoformat(born), number and number.replace("-", "")
        case _:
            raise ValueError("no lookup of this form")
