"""The servers that are measured: how each is started, asked, and ended by its process id."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
PEERS = HERE / "peers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "onestop-benchmarks"
START_S = 90
FRESH_S = 300
"""How long a token is sent; who signed in more than a quarter of an hour ago is shown less."""


def end_when_told() -> None:
    """Let SIGTERM leave the blocks in which children run, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def post(url: str, sent: Any, headers: Mapping[str, str] | None = None) -> Any:
    """JSON for JSON."""
    said = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(sent).encode(), said), timeout=60) as reply:  # noqa: S310
        return json.load(reply)


@contextmanager
def running(command: list[str], env: Mapping[str, str], log: Path, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A child that ends with the block."""
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, env={**os.environ, **env}, stderr=out, stdin=subprocess.PIPE, text=True, **more
        ) as child,
    ):
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


# ---------------------------------------------------------------- the agencies


class Agencies:
    """The six plain agencies in one process."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports

    def say(self, leaves: int, delay_ms: int) -> None:
        """What they answer from now on."""
        body = json.dumps({"leaves": leaves, "delay_ms": delay_ms}).encode()
        url = f"http://127.0.0.1:{self.ports['LAND']}/state"
        urllib.request.urlopen(urllib.request.Request(url, body, method="PUT"), timeout=10).close()


@contextmanager
def agencies(folder: Path) -> Iterator[Agencies]:
    """Started, with a file about them for the peers."""
    command = [sys.executable, str(HERE / "agencies.py")]
    with running(command, {}, folder / "agencies.log", stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield Agencies(json.loads(child.stdout.readline()))


# ---------------------------------------------------------------- servers


@dataclass
class Server:
    """One that is up: `sent` makes the headers of each request, `question` and `variables` its body."""

    name: str
    port: int
    pid: int
    question: str
    variables: dict[str, Any]
    sent: Callable[[], dict[str, str]] = field(default=dict)
    ours: bool = False

    def picture(self, answer: Any) -> Any:
        """The lists by name, in whatever form the server answers."""
        if answer.get("errors") or not answer.get("data"):
            return None
        if not self.ours:
            return answer["data"]
        sections = answer["data"]["estateCase"].values()
        return {name: value for section in sections if section for name, value in section.items()}


def wait_until_up(name: str, url: str, log: Path, child: subprocess.Popen[str]) -> None:
    """Until it answers HTTP at all."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and child.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/graphql", timeout=2).close()  # noqa: S310
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}")


# ---------------------------------------------------------------- peers


def installed() -> Path:
    """The peers' packages at their exact versions, installed once into a folder of the cache."""
    made_from = hashlib.sha256(b"".join((PEERS / f"package{part}.json").read_bytes() for part in ("", "-lock")))
    folder = CACHE / made_from.hexdigest()[:16]
    if not (folder / ".installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PEERS / name, folder)
        print(f"Installing the peers in {folder} (once) ...", file=sys.stderr)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(npm, cwd=folder, check=True, stdout=sys.stderr)
        (folder / ".installed").touch()
    for file in PEERS.glob("*.mjs"):
        shutil.copy(file, folder)  # beside node_modules, where Node looks for packages
    return folder


def versions() -> dict[str, str]:
    """Exactly what the peers are."""
    found: dict[str, str] = json.loads((PEERS / "package.json").read_text())["dependencies"]
    return found


PEER_NAMES = (
    "Apollo Gateway",
    "Hive Gateway",
    "GraphQL Yoga",
    "Yoga with JIT",
    "Mercurius with JIT",
    "plain Strawberry",
)


@contextmanager
def peer(name: str, about: Path, supergraph: Path, folder: Path, question: str) -> Iterator[Server]:
    """One of PEER_NAMES."""
    port, log = free_port(), folder / f"{name}.log"
    env = {"NODE_ENV": "production", "PORT": str(port), "AGENCIES": str(about), "SUPERGRAPH": str(supergraph)}
    node, packages = "node", CACHE
    if name != "plain Strawberry":
        packages = installed()
    hive = "node_modules/@graphql-hive/gateway/dist/bin.js"
    listening = ["--host", "127.0.0.1", "--port", str(port)]
    command = {
        "Apollo Gateway": [node, "apollo-gateway.mjs"],
        "Hive Gateway": [node, hive, "supergraph", str(supergraph), *listening, "-c", "gateway.config.mjs", "--jit"],
        "GraphQL Yoga": [node, "yoga.mjs"],
        "Yoga with JIT": [node, "yoga.mjs"],
        "Mercurius with JIT": [node, "mercurius.mjs"],
        "plain Strawberry": [
            sys.executable, "-m", "uvicorn", "--app-dir", str(PEERS), *listening, "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--log-level", "warning", "strawberry_app:app",
        ],
    }[name]  # fmt: skip
    if name == "Yoga with JIT":
        env["JIT"] = "1"
    cwd = ROOT if name == "plain Strawberry" else packages
    with running(command, env, log, cwd=cwd, stdout=subprocess.DEVNULL) as child:
        wait_until_up(name, f"http://127.0.0.1:{port}", log, child)
        yield Server(name, port, child.pid, question, {"id": "somebody"})


def composed(about: Path, to: Path) -> None:
    """The gateways' supergraph."""
    done = subprocess.run(
        ["node", "compose.mjs"],
        cwd=installed(),
        env={**os.environ, "AGENCIES": str(about)},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    to.write_bytes(done.stdout)


# ---------------------------------------------------------------- ours


@dataclass(frozen=True)
class Sandbox:
    """The sandbox's sign-in, register and agencies, shared by all of ours, outside of what is measured."""

    issuer: str
    audience: str
    env: dict[str, str]
    directory: Path

    def token(self, persona: str = "heir", jkt: str | None = None) -> str:
        """An access token of somebody who signed in just now."""
        from sandbox.issuer import Issuer  # noqa: PLC0415 - heavy, and the agencies' process has no use for it
        from sandbox.personas import PERSONAS  # noqa: PLC0415

        now = datetime.now(UTC)
        return Issuer(self.issuer, self.directory / "sandbox" / "issuer.jwk").token(
            PERSONAS[persona], audience=self.audience, client_id="benchmark", acr=3, now=now, jkt=jkt,
            ttl=timedelta(hours=1),
        )  # fmt: skip


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Started with its smallest nation."""
    command = [
        sys.executable,
        str(ROOT / "app.py"),
        "sandbox",
        "--port-base",
        "0",
        "--people",
        "0",
        "--data",
        str(folder),
    ]
    command[1:2] = ["-c", "import app; app.main()"]
    log = folder.parent / "sandbox.log"
    with running(command, {}, log, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        issuer = child.stdout.readline().split()[1]
        from app import AUDIENCE  # noqa: PLC0415 - as above

        said = dict(line.split("=", 1) for line in log.read_text().splitlines() if line.startswith("ONESTOP_"))
        yield Sandbox(issuer, AUDIENCE, said | {"ONESTOP_ISSUER": issuer, "ONESTOP_AUDIENCE": AUDIENCE}, folder)


def data_of(folder: Path, name: str) -> Path:
    """Where a server of ours keeps its state."""
    return folder / name.replace(" ", "-").replace(",", "")


OPEN = "mutation($i:OpenEstateCaseInput!){openEstateCase(input:$i){case{id}}}"


@contextmanager
def onestop(
    name: str, world: Sandbox, folder: Path, question: str, ports: dict[str, int] | None, *,
    env: Mapping[str, str] | None = None, workers: int = 1, sender_bound: bool = False,
) -> Iterator[Server]:  # fmt: skip
    """Our server with a case of the heir's open; with plain agencies if there are `ports`, else the sandbox's six."""
    port, log = free_port(), folder / f"{name}.log"
    plain = ["benchmarks/plain.py"] if ports else ["-c", "import app; app.main()"]
    data = data_of(folder, name)
    command = [sys.executable, *plain, "serve", "--port", str(port), "--workers", str(workers), "--data", str(data)]
    told = {**world.env, "BENCH_PORTS": json.dumps(ports or {}), **(env or {})}
    url = f"http://127.0.0.1:{port}"
    # Set up before, as a server in use was: who makes the tables holds what makes them in memory until the end.
    set_up = [sys.executable, *plain, "migrate", "--data", str(data)]
    subprocess.run(set_up, cwd=ROOT, env={**os.environ, **told}, stdout=subprocess.DEVNULL, check=True)
    with running(command, told, log, cwd=ROOT, stdout=subprocess.DEVNULL) as child:
        wait_until_up(name, url, log, child)
        sent = signing_in(world, url, "heir", sender_bound=sender_bound)
        yield Server(name, port, child.pid, question, {"id": opened_case(url, sent)}, sent, ours=True)


def signing_in(world: Sandbox, url: str, persona: str, *, sender_bound: bool = False) -> Callable[[], dict[str, str]]:
    """The headers of each of a persona's requests."""
    from sandbox.proof import proof  # noqa: PLC0415 - as above

    key = ECKey.generate_key("P-256")
    bound_to = key.thumbprint() if sender_bound else None
    token, signed_in = world.token(persona, bound_to), time.monotonic()

    def sent() -> dict[str, str]:
        nonlocal token, signed_in
        if time.monotonic() - signed_in > FRESH_S:
            token, signed_in = world.token(persona, bound_to), time.monotonic()
        if not sender_bound:
            return {"Authorization": f"Bearer {token}"}
        made = proof(key, method="POST", url=f"{url}/graphql", token=token, now=datetime.now(UTC))
        return {"Authorization": f"DPoP {token}", "DPoP": made}

    return sent


def opened_case(url: str, sent: Callable[[], dict[str, str]]) -> str:
    """The id of the persona's case, which is open from now on."""

    def ask(query: str, variables: Any = None) -> Any:
        answer = post(f"{url}/graphql", {"query": query, "variables": variables}, sent())
        if answer.get("errors"):
            raise SystemExit(answer["errors"])
        return answer["data"]

    found = ask("{viewer{candidates{person{id}}}}")["viewer"]["candidates"][0]["person"]["id"]
    case = ask(OPEN, {"i": {"candidate": found, "idempotencyKey": "benchmark"}})["openEstateCase"]["case"]["id"]
    return str(case)


@contextmanager
def postgres() -> Iterator[tuple[str, str]]:
    """Two databases of a PostgreSQL of our own, for cases and for the log."""
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        from tests.postgres import postgres_server  # noqa: PLC0415 - optional

        # the fixture of the tests, by its function: one way to start a PostgreSQL
        server = next(servers := postgres_server.__wrapped__())  # type: ignore[attr-defined]
        stack.callback(lambda: next(servers, None))
        there = server.get_postmaster_info().socket_dir
        urls = []
        for name in ("bench_cases", "bench_log"):
            server.psql(f"CREATE DATABASE {name};")
            urls.append(f"postgresql+asyncpg://postgres@/{name}?host={there}")
        yield urls[0], urls[1]
