"""The access log in the shape of Estonia's Data Tracker: findUsage, usagePeriod and heartbeat, version 2, as REST.

Source: the tracker's protocol for handing out usage (github.com/e-gov/AJ, Kasutusteabe_esitamise_protokoll.md, §6, and
dumonitor-openapi.yaml). There a trusted portal names the person; here the person's own token does, and `userCode` can
name nobody else. What is told is what `accessLog` tells.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resolvers.house import House
from resolvers.log import EXPORTED
from resolvers.operation_types import Reply
from serving.downloads import count, instant, parameters, spoken
from serving.endpoint import Refused, single
from serving.question import NO_STORE, Question, guarded

QUESTION: Final = """
query FindUsage($language: Language!, $filter: AccessFilter!, $first: Int!, $after: String) {
  accessLog(filter: $filter, first: $first, after: $after) {
    pageInfo { hasNextPage endCursor }
    edges { node {
      at actor { agency } client
      purposeLabel(language: $language) taskLabel(language: $language) outcomeLabel(language: $language)
    } }
  }
}
"""
PARAMETERS: Final = frozenset({"userCode", "periodStart", "periodEnd", "offset", "limit", "language"})
FURTHEST: Final = 10 * EXPORTED
"""So many usages are counted; who has more asks for a period."""


class Usage:
    """The three places of the protocol; `kept_months` is how long entries are kept."""

    def __init__(
        self,
        schema: GraphQLSchema,
        house: House,
        healthy: Callable[[], Awaitable[bool]],
        kept_months: int,
        origin: str | None,
    ) -> None:
        self._question = Question(schema, house, QUESTION, origin)
        self._clock = house.clock
        self._healthy = healthy
        self._kept_months = kept_months

    def routes(self) -> list[Route]:
        return [
            Route("/findUsage", guarded(self._find_usage)),
            Route("/v2/findUsage", guarded(self._find_usage)),
            Route("/v2/usagePeriod", guarded(self._usage_period)),
            Route("/v2/heartbeat", guarded(self._heartbeat)),
        ]

    async def _find_usage(self, request: Request) -> Response:
        given = parameters(request, PARAMETERS)
        offset = count(given, "offset", 0, FURTHEST - 1, least=0)
        limit = count(given, "limit", EXPORTED, EXPORTED)
        where = {"from": instant(given, "periodStart"), "until": instant(given, "periodEnd")}
        variables = {"language": spoken(request, given).name, "filter": where | _whose(request, given)}
        usages, noted = await self._usages(request, variables)
        answer = {"totalUsages": len(usages), "usages": usages[offset : offset + limit]}
        return Response(
            orjson.dumps(answer),
            headers=NO_STORE | ({"Access-Log": ",".join(noted)} if noted else {}),
            media_type="application/json",
        )

    async def _usages(self, request: Request, variables: Mapping[str, Any]) -> tuple[list[dict[str, str]], list[str]]:
        """All usages, and the ids of the entries that looking at them left."""
        usages: list[dict[str, str]] = []
        noted: list[str] = []
        after: str | None = None
        while len(usages) < FURTHEST:
            asked = {**variables, "first": EXPORTED, "after": after}
            reply = await self._asked(request, asked)
            noted += reply.entry_ids
            page = orjson.loads(orjson.dumps(reply.data))["accessLog"]
            usages += [_usage(edge["node"]) for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        return usages, noted

    async def _asked(self, request: Request, variables: Mapping[str, Any]) -> Reply:
        try:
            return await self._question.answer(request, variables, exports=True)
        except Refused as refused:
            if refused.errors[0]["extensions"].get("field") != "filter.subject":
                raise
            why = "userCode: Give your own id (viewer.person.id), or leave it out."
            raise Refused(403, why, code="NOT_ACCESSIBLE", field="userCode", headers=refused.headers) from refused

    async def _usage_period(self, request: Request) -> Response:
        """From when on entries are kept; without an end, they reach until now."""
        parameters(request, frozenset())
        now = self._clock().astimezone(UTC)
        months = now.year * 12 + now.month - 1 - self._kept_months
        start = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
        return JSONResponse({"periodStart": f"{start:%Y-%m-%dT%H:%M:%SZ}"}, headers=NO_STORE)

    async def _heartbeat(self, request: Request) -> Response:
        parameters(request, frozenset())
        well = await self._healthy()
        return JSONResponse({"status": "OK" if well else "FAIL"}, 200 if well else 503, headers=NO_STORE)


def _whose(request: Request, given: Mapping[str, str]) -> dict[str, str]:
    """The person that the request names; the graph takes the viewer's own id and no other."""
    asking = single(request.headers, "x-road-userid")
    code = given.get("userCode", asking)
    if code is None:
        return {}
    if code == "" or asking not in {None, code}:
        raise Refused(400, "userCode: Give your own id (viewer.person.id), alike in X-Road-UserId.", field="userCode")
    return {"subject": code}


def _usage(entry: Mapping[str, Any]) -> dict[str, str]:
    words = [entry["purposeLabel"], entry["taskLabel"], entry["outcomeLabel"]]
    return {
        "logtime": f"{datetime.fromisoformat(entry['at']).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "action": " · ".join(word for word in words if word),
        "receiverCode": entry["actor"]["agency"],
        "receiverName": entry["actor"]["agency"],
        "receiverSystem": entry["client"],
    }
