"""What the register is told while the sandbox runs: deaths, protection, disputes, renunciations, person by person.

Source: docs/wire/README.md, "Faults of the sandbox". The nation stays as it was drawn; this is laid over it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.frame import json_response
from sandbox.facts import Declaration, Dispute, Person, Subject


class Events:
    """What happened to whom since the start. `sids` knows everybody by the register's sector identifiers."""

    def __init__(self, sids: Mapping[str, Subject], day: date) -> None:
        """Nothing has happened yet; what happens does so on the day."""
        self._sids, self._day = sids, day
        self._told: dict[Subject, list[dict[str, Any]]] = {}

    def person(self, person: Person) -> Person:
        """The person as they are now."""
        kinds = {each["kind"] for each in self._told.get(person.subject, ())}
        died = person.died or (self._day if "DIED" in kinds else None)
        return replace(person, died=died, protected=person.protected or "PROTECTED" in kinds) if kinds else person

    def of(self, name: str, subject: Subject) -> list[Any]:
        """Events of one list of the register that are found with the person: the deceased."""
        if name == "disputes":
            told = self._told.get(subject, ())
            return [Dispute(subject, self._day, None) for each in told if each["kind"] == "DISPUTED"]
        if name == "declarations":
            return [
                Declaration(subject, heir, "RENUNCIATION", self._day)
                for heir, told in self._told.items()
                for each in told
                if each["kind"] == "RENOUNCED" and self._sids[each["deceased"]] == subject
            ]
        return []

    def routes(self) -> list[Route]:
        """Where it is told."""

        async def put(request: Request) -> Response:
            try:
                told = self._read(await request.json())
                self._told[self._sids[request.path_params["sid"]]] = told
            except (ValueError, KeyError):
                return json_response({"error": "BAD_REQUEST"}, 400)
            return json_response({"events": told})

        async def get(request: Request) -> Response:
            subject = self._sids.get(request.path_params["sid"])
            return json_response({"events": self._told.get(subject, []) if subject else []})

        path = "/sandbox/events/{sid}"
        return [Route(path, put, methods=["PUT"]), Route(path, get, methods=["GET"])]

    def _read(self, body: object) -> list[dict[str, Any]]:
        told: list[Any] = body if isinstance(body, list) else [body]
        for each in told:
            match each:
                case {"kind": "RENOUNCED", "deceased": str(sid)} if sid in self._sids:
                    pass
                case {"kind": "DIED" | "PROTECTED" | "DISPUTED", **more} if not more:
                    pass
                case _:
                    raise ValueError("no event")
        return told
