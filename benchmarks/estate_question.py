"""What one estate question costs: time, CPU of the API and of the sandbox, and where the API's CPU goes.

`python benchmarks/estate_question.py [--times 200]` starts `onestop serve`, opens the case of the persona `heir`, and
asks the whole estate one question at a time. CPU is utime + stime of each process from /proc, divided by the
questions. The second part answers the same question in this process under cProfile, against the same agencies, and
adds up own time by part of the program: shares, not milliseconds, since a profiler slows what it looks at.
"""

import argparse
import asyncio
import cProfile
import io
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
ESTATE = (Path(__file__).parent / "estate.graphql").read_text()

PARTS = (
    ("graphql-core and Strawberry", ("graphql/", "strawberry/")),
    ("agencies: HTTP client", ("aiohttp/", "yarl/", "multidict/", "connectors/transport", "aiosignal")),
    ("agencies: decode, check, map", ("connectors/", "msgspec", "lxml", "joserfc", "cryptography")),
    ("agencies: SQL replica", ("connectors/vehicles",)),
    ("stores: SQLAlchemy, SQLite", ("sqlalchemy/", "aiosqlite/", "sqlite3")),
    ("access log: entries, seals, commit", ("audit/",)),
    ("plan, ruling, witness, resolvers", ("resolvers/", "auth/", "cedarpy", "rules/", "schema/", "cases/")),
    ("server: Starlette, uvicorn, serving", ("starlette/", "uvicorn/", "serving/")),
    ("event loop", ("asyncio/", "uvloop", "selectors")),
)


def onestop(*arguments: str) -> list[str]:
    """The command of this environment."""
    return [str(Path(sys.executable).with_name("onestop")), *arguments]


def asking(url: str, token: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Ask over HTTP."""

    def ask(query: str, variables: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/graphql", body, headers)) as answer:  # noqa: S310
            said: dict[str, Any] = json.load(answer)
        if "errors" in said:
            raise SystemExit(said["errors"])
        return said

    return ask


def opened(ask: Callable[[str, dict[str, Any]], dict[str, Any]]) -> str:
    """The id of the heir's case."""
    found = ask("{viewer{candidates{person{id}}}}", {})["data"]["viewer"]["candidates"][0]["person"]["id"]
    mutation = "mutation($i:OpenEstateCaseInput!){openEstateCase(input:$i){case{id}}}"
    answer = ask(mutation, {"i": {"candidate": found, "idempotencyKey": "benchmark"}})
    case: str = answer["data"]["openEstateCase"]["case"]["id"]
    return case


def cpu_s(pid: int) -> float:
    """User and system time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def child_of(pid: int) -> int:
    """The sandbox's process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def leaves(value: Any) -> int:
    """Values in an answer."""
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1


def over_http(times: int, data: Path) -> None:
    """Median time and mean CPU of the question."""
    with subprocess.Popen(
        onestop("serve", "--port", "0", "--data", str(data)), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        url = child.stdout.readline().split()[1]
        token = subprocess.run(
            onestop("token", "--persona", "heir", "--ttl", "3600", "--data", str(data)),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        ask = asking(url, token)
        variables = {"id": opened(ask)}
        answer = ask(ESTATE, variables)
        for _ in range(20):
            ask(ESTATE, variables)
        sandbox = child_of(child.pid)
        before, sandbox_before = cpu_s(child.pid), cpu_s(sandbox)
        taken = []
        for _ in range(times):
            started = time.perf_counter()
            ask(ESTATE, variables)
            taken.append((time.perf_counter() - started) * 1000)
        cpu = (cpu_s(child.pid) - before) / times * 1000
        sandbox_cpu = (cpu_s(sandbox) - sandbox_before) / times * 1000
        child.terminate()
        child.wait()
    quantiles = statistics.quantiles(taken, n=100)
    print(f"| leaves | {leaves(answer['data'])} |")
    print(f"| time, median of {times} | {statistics.median(taken):.1f} ms |")
    print(f"| time, 95th percentile | {quantiles[94]:.1f} ms |")
    print(f"| CPU of the API, mean | {cpu:.1f} ms |")
    print(f"| CPU of the sandbox's agencies, mean | {sandbox_cpu:.1f} ms |")


def profiled(times: int, data: Path, question: str = ESTATE) -> None:
    """Shares of the API's own time by part."""
    import app  # noqa: PLC0415
    from sandbox.issuer import Issuer  # noqa: PLC0415
    from serving import logs, program  # noqa: PLC0415
    from serving.drain import Drain  # noqa: PLC0415
    from serving.metrics import Metrics  # noqa: PLC0415
    from serving.settings import Settings  # noqa: PLC0415

    async def answered(wiring: program.Wiring) -> pstats.Stats:
        async with program.opened(wiring, Drain(), Metrics()) as application:
            token = Issuer(wiring.issuer, data / "sandbox" / "issuer.jwk").token(
                app.PERSONAS["heir"], audience=wiring.audience, client_id="benchmark", acr=3,
                ttl=timedelta(hours=1), now=datetime.now(UTC),
            )  # fmt: skip

            async def ask(query: str, variables: dict[str, Any]) -> dict[str, Any]:
                return await _through(application, token, query, variables)

            candidate = (await ask("{viewer{candidates{person{id}}}}", {}))["data"]["viewer"]["candidates"][0]
            mutation = "mutation($i:OpenEstateCaseInput!){openEstateCase(input:$i){case{id}}}"
            chosen = {"i": {"candidate": candidate["person"]["id"], "idempotencyKey": "profile"}}
            case = (await ask(mutation, chosen))["data"]["openEstateCase"]["case"]["id"]
            for _ in range(10):
                await ask(question, {"id": case})
            profile = cProfile.Profile()
            profile.enable()
            for _ in range(times):
                await ask(question, {"id": case})
            profile.disable()
            return pstats.Stats(profile)

    logs.configure(io.StringIO())
    with app._wired(Settings.load({}), data, "http://127.0.0.1:1") as (wiring, _):  # noqa: SLF001 - the same parts as serve
        stats = asyncio.run(answered(wiring))
    own: Counter[str] = Counter()
    for (file, _, name), (_, _, seconds, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        if "epoll" not in name and "select." not in name:  # waiting is not work
            own[_part(file, name)] += seconds
    total = sum(own.values())
    for part, seconds in own.most_common():
        print(f"| {part} | {seconds / total:.0%} |")


def _part(file: str, name: str) -> str:
    where = name if file == "~" else file.replace(str(ROOT), "")
    for part, marks in PARTS:
        if any(mark in where for mark in marks):
            return part
    return "Python itself and the rest"


async def _through(application: Any, token: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Through the ASGI application, without a socket."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = [(b"content-type", b"application/json"), (b"authorization", f"Bearer {token}".encode()), (b"host", b"x")]
    scope = {
        "type": "http", "method": "POST", "path": "/graphql", "raw_path": b"/graphql", "query_string": b"",
        "headers": headers, "scheme": "http", "client": ("127.0.0.1", 1), "server": ("x", 80), "root_path": "",
        "http_version": "1.1", "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[bytes] = []
    gone = asyncio.Event()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    await application(scope, receive, send)
    answer: dict[str, Any] = json.loads(b"".join(sent))
    return answer


def main() -> None:
    """Both parts, as rows of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        over_http(times, Path(folder) / "a")
        profiled(times, Path(folder) / "b")


if __name__ == "__main__":
    main()
