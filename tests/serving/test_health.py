"""What /livez and /readyz say, and what the metrics count."""

import asyncio
import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from serving.drain import Drain
from serving.health import Check, Health
from serving.metrics import Metrics, admin

REQUEST = Request({"type": "http", "method": "GET", "headers": []})


async def works() -> bool:
    return True


async def fails() -> bool:
    return False


async def breaks() -> bool:
    raise OSError("a host name")


async def hangs() -> bool:
    await asyncio.Event().wait()
    return True


def health(log: Check = works, land: Check = works, drain: Drain | None = None) -> Health:
    checks = {"log": log, "database": works, "keys": works}
    return Health(checks, {"LAND": land, "TAX": works}, drain or Drain(), timeout_s=0.01)


@pytest.mark.parametrize(("check", "state"), [(works, "ok"), (fails, "down"), (breaks, "down"), (hangs, "slow")])
async def test_without_the_log_it_is_not_ready_without_an_agency_it_is(check: Check, state: str) -> None:
    log, land = await health(log=check).readyz(REQUEST), await health(land=check).readyz(REQUEST)
    assert log.status_code == (200 if state == "ok" else 503)
    assert json.loads(log.body) == {
        "log": state,
        "database": "ok",
        "keys": "ok",
        "agencies": {"LAND": "ok", "TAX": "ok"},
    }
    assert land.status_code == 200
    assert json.loads(land.body)["agencies"] == {"LAND": state, "TAX": "ok"}


async def test_a_draining_process_lives_but_is_not_ready() -> None:
    drain = Drain()
    drain.begin()
    assert (await health(drain=drain).readyz(REQUEST)).status_code == 503
    assert (await health(drain=drain).livez(REQUEST)).status_code == 200


async def test_many_who_ask_at_once_cost_one_round_of_checks() -> None:
    asked = []

    async def counted() -> bool:
        asked.append(1)
        return True

    one = health(land=counted)
    await asyncio.gather(*(one.readyz(REQUEST) for _ in range(20)))
    assert len(asked) == 1


async def test_metrics_count_requests_by_kind_and_status() -> None:
    metrics = Metrics()
    metrics.answered("query", 200, 0.02)
    metrics.answered("none", 400, 0.001)
    sent: list[bytes] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, object]) -> None:
        sent.append(message.get("body", b""))  # type: ignore[arg-type]

    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": [], "root_path": ""}
    app: Starlette = admin(metrics)
    await app(scope, receive, send)  # type: ignore[arg-type]
    text = b"".join(sent).decode()
    assert 'onestop_requests_total{kind="query",status="200"} 1.0' in text
    assert 'onestop_request_seconds_bucket{kind="query",le="0.025"} 1.0' in text
    assert "onestop_requests_in_flight 0.0" in text
