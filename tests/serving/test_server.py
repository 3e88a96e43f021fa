"""The real server: ready, ended by SIGTERM, with several workers, and its page with nothing foreign on it."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import graphql
import pytest

from serving import graphiql

ROOT = Path(__file__).parents[2]


def response(url: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> HTTPResponse:
    """Closed with its connection: each is one of its own."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def post(url: str, query: str, accept: str = "application/json") -> HTTPResponse:
    body = json.dumps({"query": query}).encode()
    return response(url, "/graphql", "POST", body, content_type="application/json", accept=accept, connection="close")


def get(url: str, path: str) -> tuple[int, dict[str, str], bytes]:
    with response(url, path, accept="text/html", connection="close") as seen:
        return seen.status, {name.lower(): value for name, value in seen.getheaders()}, seen.read()


def ended(process: "subprocess.Popen[str]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=15)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def logged(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """What the ended process wrote to standard error, which has to be JSON lines."""
    assert process.stderr
    return map(json.loads, process.stderr.read().splitlines())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_says_ready_answers_and_ends_with_0(started: Any, workers: str) -> None:
    with started("--workers", workers) as (process, url):
        assert json.load(post(url, "{ hello }")) == {"data": {"hello": "annyeong"}, "extensions": {"access": {}}}
        assert ended(process) == 0
        assert {"event", "level", "timestamp"} <= set(*logged(process))
        assert process.stdout.read() == ""


def sent(url: str, data: bytes) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(data)
    return connection


def received(connection: socket.socket) -> bytes:
    with connection, connection.makefile("rb") as file:
        return file.read()


def test_sigterm_finishes_what_is_in_flight_turns_away_the_rest_and_completes_streams(started: Any) -> None:
    head = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 22\r\n\r\n"
    with started() as (process, url), post(url, "subscription { silence }", "text/event-stream") as stream:
        in_flight = sent(url, head + b'{"query": "{ last }" }')
        halfway = sent(url, head + b'{"query": ')
        assert json.load(post(url, "{ hello }"))["data"]  # so both have arrived
        process.send_signal(signal.SIGTERM)
        assert stream.read() == b"event: complete\ndata:\n\n"
        halfway.sendall(b'"{ hello }"}')
        assert b'{"last":"done"}' in received(in_flight)
        turned_away = received(halfway)
        assert turned_away.startswith(b"HTTP/1.1 503 ")
        assert b"DRAINING" in turned_away
        assert process.wait(timeout=15) == 0
        with pytest.raises(OSError, match="refused"):
            sent(url, b"")


def test_a_worker_that_dies_is_replaced(started: Any) -> None:
    with started("--workers", "2") as (process, url):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        before = {int(pid) for pid in children.read_text().split()}
        assert len(before) == 2
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        line = json.loads(process.stderr.readline())
        while line["event"] != "worker_ended":
            line = json.loads(process.stderr.readline())
        assert line["status"] == -signal.SIGKILL
        while len(after := {int(pid) for pid in children.read_text().split()} - {victim}) < 2:
            pass
        assert len(after - before) == 1
        for _ in range(20):
            assert json.load(post(url, "{ hello }"))["data"]
        assert ended(process) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_application_that_cannot_start_ends_the_program(started: Any, workers: str) -> None:
    with started("--fail-at-start", "--workers", workers) as (process, url):
        assert url == ""
        assert process.wait(timeout=15) == 3


def test_metrics_are_on_the_admin_listener_only(started: Any) -> None:
    port = free_port()
    with started("--admin", str(port)) as (process, url):
        status, headers, body = get(f"http://127.0.0.1:{port}", "/metrics")
        assert (status, b"onestop_requests_in_flight" in body) == (200, True)
        assert headers["content-type"].startswith("text/plain")
        assert get(url, "/metrics")[0] == 404
        assert ended(process) == 0


def test_graphiql_loads_from_here_and_from_nowhere_else(started: Any) -> None:
    with started() as (process, url):
        status, headers, page = get(url, "/graphql")
        assert status == 200
        assert "script-src 'self';" in headers["content-security-policy"]
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
        assert len(loaded) == 7
        for path in loaded:
            assert path.startswith("/static/graphiql/") or path == "data:,"
            assert path == "data:," or get(url, path)[0] == 200
        assert ended(process) == 0
    with started("--production") as (process, url):
        assert get(url, "/graphql")[0] == 404
        assert get(url, "/static/graphiql/graphiql.js")[0] == 404


def test_graphiqls_files_name_no_host_to_load_from() -> None:
    for path in graphiql.FILES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import|sourceMappingURL""", text
        )
        assert not re.search(r"""(?:fetch|import|importScripts|Worker)\(["'](?:https?:)?//""", text)
    assert sum(path.stat().st_size for path in graphiql.FILES.iterdir()) < 4_000_000


def test_the_question_graphiql_opens_with_is_one_of_our_graph() -> None:
    page = (graphiql.FILES / "page.js").read_text(encoding="utf-8")
    question = page.split("const ESTATE = `")[1].split("`;")[0]
    contract = graphql.build_schema((ROOT / "tests/contract/schema.graphql").read_text(encoding="utf-8"))
    assert graphql.validate(contract, graphql.parse(question)) == []
