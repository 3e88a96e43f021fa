"""The policies for outsiders: OpenID AuthZEN Authorization API 1.0, so that a privacy officer can test what we say.

A question brings its own facts (`subject.properties`, by the names and types of auth/policies/schema.cedarschema) and
is decided by the policies in force. Nothing is looked up: no person, no case, no agency; ids are required by the
specification and are not looked at. The answer names the policies that decided.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, get_type_hints
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.policy import LEVEL, ROLES, About, Effect, Entries, Facts, Need, Policies, Verdict
from auth.token import UnauthenticatedError
from auth.viewer import Viewer
from schema.disclosure import Agency
from schema.viewer import Role

LARGEST = 256 * 1024
MOST = 100
EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
SENSITIVITY = {level: sensitivity for sensitivity, level in LEVEL.items()}
STOPS = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}
MEMBERS = ("subject", "action", "resource", "context")
FACTS = get_type_hints(Facts)
REQUIRED = ("role", "purpose", "assurance", "fresh")
LONGEST_SET = 64

Whose = Callable[[Request], Awaitable[Viewer]]
"""Whose token a request carries; raises `UnauthenticatedError`."""

Answering = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class Wrong(Exception):
    """The question cannot be asked like this; `field` is what to mend."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.body = {"code": "BAD_INPUT", "field": field, "message": reason}


class Access:
    """The three routes. `origin` is how the outside names this server; without it the request's Host is believed."""

    def __init__(self, policies: Policies, whose: Whose, origin: str | None = None) -> None:
        self._policies = policies
        self._whose = whose
        self._origin = origin

    def routes(self) -> list[Route]:
        """To be mounted at the root."""
        return [
            Route(EVALUATION, self._answering(self._evaluation), methods=["POST"]),
            Route(EVALUATIONS, self._answering(self._evaluations), methods=["POST"]),
            Route("/.well-known/authzen-configuration", self._configuration),
        ]

    def _answering(self, answer: Answering) -> Callable[[Request], Awaitable[Response]]:
        async def answering(request: Request) -> Response:
            said = request.headers.get("x-request-id", "")
            headers = {"X-Request-ID": said} if _is_uuid(said) else {}
            try:
                if Role.PRIVACY_OFFICER not in (await self._whose(request)).roles:
                    body = {"code": "NOT_ACCESSIBLE", "message": "This is for privacy officers."}
                    return JSONResponse(body, 403, headers)
                return JSONResponse(await answer(await _question(request)), 200, headers)
            except UnauthenticatedError as wrong:
                body = {"code": "UNAUTHENTICATED", "message": wrong.description}
                error = f', error="{wrong.error}"' if wrong.error else ""
                return JSONResponse(body, 401, {**headers, "WWW-Authenticate": f'Bearer realm="onestop"{error}'})
            except Wrong as wrong:
                return JSONResponse(wrong.body, 400, headers)

        return answering

    async def _evaluation(self, question: Mapping[str, Any]) -> dict[str, Any]:
        return self._decision(question, "")

    async def _evaluations(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Several, each with the members of its own over the common ones (section 7). None is as good as one."""
        each_of = question.get("evaluations")
        if each_of is None or each_of == []:
            return await self._evaluation(question)
        if not isinstance(each_of, list) or len(each_of) > MOST:
            raise Wrong("evaluations", f"Give a list of at most {MOST} evaluations.")
        options = _object(question.get("options", {}), "options")
        semantic = options.get("evaluations_semantic", "execute_all")
        if not isinstance(semantic, str) or semantic not in STOPS:
            raise Wrong("options.evaluations_semantic", f"Use one of {', '.join(STOPS)}.")
        common = {name: question[name] for name in MEMBERS if name in question}
        asked = [common | _object(each, f"evaluations[{n}]") for n, each in enumerate(each_of)]
        decided = []
        for n, each in enumerate(asked):
            decided.append(self._decision(each, f"evaluations[{n}]."))
            if decided[-1]["decision"] is STOPS[semantic]:
                break
            await asyncio.sleep(0)  # others are served between two decisions
        return {"evaluations": decided}

    def _decision(self, question: Mapping[str, Any], at: str) -> dict[str, Any]:
        subject = _entity(question, "subject", ("Asking",), at)
        resource = _entity(question, "resource", ("Data", "Log"), at)
        action = _object(question.get("action"), f"{at}action").get("name")
        may = ("read_log",) if resource["type"] == "Log" else ("read", "read_name")
        if action not in may:
            raise Wrong(f"{at}action.name", f"On {resource['type']} use {' or '.join(may)}.")
        _object(question.get("context", {}), f"{at}context")
        facts = _facts(subject["properties"], f"{at}subject.properties")
        properties = _Properties(resource["properties"], f"{at}resource.properties")
        if resource["type"] == "Log":
            verdict = self._policies.of_log(facts, _entries(properties))
        else:
            need = _need(properties, third_party=action == "read_name")
            verdict = self._policies.ruling(facts, [need])[need]
        return self._told(verdict)

    def _told(self, verdict: Verdict) -> dict[str, Any]:
        """A masked name is not shown in full, so that `read_name` is denied."""
        reasons = [{"id": policy, **self._because(policy)} for policy in verdict.policies]
        refusal = verdict.refusal.name if verdict.refusal else None
        return {"decision": verdict.effect is Effect.ALLOW, "context": {"reasons": reasons, "refusal": refusal}}

    def _because(self, policy: str) -> dict[str, str]:
        said = self._policies.said(policy)
        return {name: said[name] for name in ("row", "legal_basis", "sentence")}

    async def _configuration(self, request: Request) -> Response:
        """Section 9: where the decision point is and what it answers."""
        origin = self._origin or f"{request.url.scheme}://{request.url.netloc}"
        return JSONResponse(
            {
                "policy_decision_point": origin,
                "access_evaluation_endpoint": origin + EVALUATION,
                "access_evaluations_endpoint": origin + EVALUATIONS,
            }
        )


async def _question(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Wrong("Content-Type", "Send application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise Wrong("", f"The body may have {LARGEST} bytes.")
    try:
        return _object(json.loads(body), "")
    except (ValueError, RecursionError) as wrong:
        raise Wrong("", "The body is not JSON.") from wrong


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong(field, "Give an object.")
    return value


def _entity(question: Mapping[str, Any], name: str, types: Sequence[str], at: str) -> dict[str, Any]:
    entity = _object(question.get(name), f"{at}{name}")
    if entity.get("type") not in types:
        raise Wrong(f"{at}{name}.type", f"Use {' or '.join(types)}.")
    if not isinstance(entity.get("id"), str):
        raise Wrong(f"{at}{name}.id", "Give any text; it is not looked at.")
    return {**entity, "properties": _object(entity.get("properties", {}), f"{at}{name}.properties")}


class _Properties:
    """Typed properties of one entity."""

    def __init__(self, given: Mapping[str, Any], at: str) -> None:
        self._given = given
        self._at = at

    def only(self, names: Sequence[str]) -> None:
        for name in self._given:
            if name not in names:
                named = name[:64].encode("ascii", "backslashreplace").decode()
                raise Wrong(f"{self._at}.{named}", f"No such property. There are: {', '.join(names)}.")

    def has(self, name: str) -> bool:
        return name in self._given

    def whole(self, name: str, low: int, high: int) -> int:
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Wrong(f"{self._at}.{name}", f"Give a whole number from {low} to {high}.")
        return value

    def truth(self, name: str) -> bool:
        value = self._given.get(name)
        if not isinstance(value, bool):
            raise Wrong(f"{self._at}.{name}", "Give true or false.")
        return value

    def one_of(self, name: str, names: Sequence[str]) -> str:
        value = self._given.get(name)
        if not isinstance(value, str) or value not in names:
            raise Wrong(f"{self._at}.{name}", f"Use one of {', '.join(names)}.")
        return value

    def some_of(self, name: str, names: Sequence[str]) -> frozenset[str]:
        value = self._given.get(name)
        if not isinstance(value, list) or len(value) > LONGEST_SET or any(each not in names for each in value):
            raise Wrong(f"{self._at}.{name}", f"Give a list of {', '.join(names)}.")
        return frozenset(value)


def _names(enum: type[Enum]) -> list[str]:
    return [each.name for each in enum]


LIMITS = {"assurance": (1, 3), "rank": (0, 4), "child_age": (0, 150), "order_sensitivity": (0, 5)}


def _facts(given: Mapping[str, Any], at: str) -> Facts:
    properties = _Properties(given, at)
    properties.only(list(FACTS))
    known: dict[str, Any] = {}
    for name, type_ in FACTS.items():
        if not properties.has(name) and name not in REQUIRED:
            continue
        if type_ is bool:
            known[name] = properties.truth(name)
        elif type_ is int:
            known[name] = properties.whole(name, *LIMITS[name])
        elif type_ is str:
            known[name] = properties.one_of(name, sorted(ROLES))
        elif isinstance(type_, type) and issubclass(type_, Enum):
            known[name] = type_[properties.one_of(name, _names(type_))]
        else:
            known[name] = properties.some_of(name, _names(Agency))
    return Facts(**known)


def _need(properties: _Properties, *, third_party: bool) -> Need:
    properties.only(["agency", "sensitivity", "about"])
    return Need(
        Agency[properties.one_of("agency", _names(Agency))],
        SENSITIVITY[properties.whole("sensitivity", 1, 5)],
        About[properties.one_of("about", _names(About))],
        third_party,
    )


def _entries(properties: _Properties) -> Entries:
    names = ["own_agency", "about_self"]
    properties.only(names)
    return Entries(**{name: properties.truth(name) for name in names if properties.has(name)})


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
