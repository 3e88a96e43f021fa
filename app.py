"""onestop: the command, and what starts when it is told to serve.

Each command imports what it needs when it runs: a token should not wait for a web server to be loaded.
"""

import asyncio
import getpass
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sandbox.personas import PERSONAS
from serving import logs
from serving.listening import bound, url_of
from serving.running import Running, announced, newest
from serving.settings import Settings, SettingsError, limits_in_force, problems, shown

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from audit.archive import Manifest
    from audit.endorsed import Endorsed
    from audit.owning import Owner
    from audit.verifying import Evidence
    from auth.viewer import Viewer
    from cases.documents import Registered
    from cases.protected import ProtectedList
    from resolvers.trusted import Standing
    from sandbox.server import Endpoints
    from serving.cases import CaseDesk
    from serving.documents import Desk
    from serving.drain import Drain
    from serving.head import Head
    from serving.program import Portal, Program, Wiring

T = TypeVar("T")
KOREA = timezone(timedelta(hours=9))
AUDIENCE = "https://onestop.sandbox.invalid/graphql"
CLIENT = "sandbox-portal"
TAX_ISSUER = "https://tax.sandbox.invalid"
STATE = Path("var")
TILES = Path("access-log-tiles")
SANDBOX_MARK = b"onestop-sandbox: anybody may have this key\n"
KEY_FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def today() -> date:
    """The day in Korea."""
    return datetime.now(KOREA).date()


class Refusal(click.ClickException):
    """Wrong use or configuration: exit status 2, the reason on standard error."""

    exit_code = 2


def settings() -> Settings:
    """The settings in force."""
    try:
        return Settings.load(os.environ)
    except SettingsError as error:
        raise Refusal("\n".join(error.problems)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onestop")
def main() -> None:
    """One GraphQL question over many government agencies, and a log of every field that was shown."""


# ---------------------------------------------------------------- serving


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=STATE, show_default=True, help="State."
)
def serve(host: str, port: int, workers: int, data: Path) -> None:
    """Serve in the foreground. Without configuration: sandbox mode, everything embedded, state under ./var."""
    logs.configure()
    its = settings()
    if found := problems(its, workers):
        raise Refusal("\n".join(found))
    try:
        listener = bound(host, port)
    except OSError as error:
        raise Refusal(f"{host}:{port} cannot be listened on ({error.strerror}); choose another --port.") from error
    data.mkdir(parents=True, exist_ok=True)
    url = url_of(listener, host)
    with listener, _wired(its, data, url) as (wiring, controls):
        from serving import program, server
        from serving.metrics import Metrics, admin

        metrics = Metrics()
        beside = (admin(metrics), *its.admin_listen) if its.admin_listen else None
        running = Running(os.getpid(), str(data.resolve()), wiring.issuer, wiring.audience, url, controls)

        def make(drain: "Drain") -> "Program":
            return program.Program(wiring, drain, metrics)

        def ready(url: str) -> None:
            click.echo(f"READY {url}")

        try:
            # Who signs with another issuer's key is no sandbox that `onestop token` could make tokens for.
            with announced(running) if its.issuer is None else nullcontext():
                status = server.run(make, listener, url, ready, workers=workers, admin=beside)
        except OSError as error:
            raise Refusal(f"ONESTOP_ADMIN_LISTEN: cannot be listened on ({error.strerror}).") from error
    sys.exit(status)


@contextmanager
def _wired(its: Settings, data: Path, origin: str) -> Iterator["tuple[Wiring, Mapping[str, str]]"]:
    """What the program needs, with the sandbox started for whatever is not set, and the sandbox's controls."""
    asked = {name for name in its.agencies if name != "WELFARE"}
    is_whole = its.issuer is not None and all(its.agencies[name].url for name in asked)
    with _nothing() if is_whole else _embedded(its, data, origin) as ready:
        from schema.disclosure import Agency  # while the sandbox starts beside us
        from serving import program

        endpoints = ready()
        needed = {Agency[name] for name in asked}
        agencies = {Agency[name]: url for name, url in endpoints["agencies"].items()} if endpoints else {}
        agencies |= {agency: url for agency in needed if (url := its.agencies[agency.name].url)}
        wiring = program.Wiring(
            settings=its,
            database_url=its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db",
            log_url=its.log_url or f"sqlite+aiosqlite:///{data.resolve()}/access-log.db",
            id_root=_id_root(its),
            newer_id_keys=_id_keys(its)[:-1],
            signing_key=program.signing_key(its.log_signing_key_file or _made_signing_key(data)),
            tiles=its.log_tile_dir or data / TILES,
            issuer=its.issuer or (endpoints["issuer"] if endpoints else ""),
            audience=its.audience or AUDIENCE,
            agencies={agency: agencies[agency] for agency in needed},
            tax_issuer=agencies[Agency.TAX] if its.production else TAX_ISSUER,
            callback_url=f"{its.origin or origin}/callbacks/finance",
            portal=_portal(its, data, its.known_origin or origin),
            roster=its.roster.url or (endpoints["roster"] if endpoints and not its.production else None),
        )
        yield wiring, endpoints["controls"] | {"ROSTER": endpoints["roster"]} if endpoints else {}


@contextmanager
def _nothing() -> Iterator[Callable[[], None]]:
    yield lambda: None


@contextmanager
def _embedded(its: Settings, data: Path, origin: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """The sandbox in a process of its own, which ends with this one; what is yielded waits until it answers."""
    command = [sys.executable, "-P", "-m", "sandbox", "--port-base", "0", "--directory", str(data / "sandbox")]
    command += ["--audience", its.audience or AUDIENCE, "--portal-origin", its.origin or origin]
    if its.id_key_file:
        command += ["--id-key-file", str(its.id_key_file)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESTOP_")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:

        def ready() -> dict[str, Any]:
            line = child.stdout.readline() if child.stdout else b""
            if not line:
                raise Refusal("The sandbox did not start; its reason is above.")
            endpoints: dict[str, Any] = json.loads(line)
            return endpoints

        try:
            yield ready
        finally:
            if child.stdin:
                child.stdin.close()
            child.terminate()
            child.wait(timeout=10)


def _portal(its: Settings, data: Path, origin: str) -> "Portal | None":
    """The client that settings name, or the sandbox's own with the key that the sandbox made for it."""
    from sandbox.issuer import PORTAL_KEY, signing_key
    from serving.program import Portal
    from serving.session import CALLBACK
    from serving.signin import client_key

    back = its.portal_redirect_uri or f"{origin}{CALLBACK}"
    if its.portal_client_id and its.portal_key_file:
        return Portal(its.portal_client_id, client_key(its.portal_key_file), origin, back)
    return None if its.issuer else Portal(CLIENT, signing_key(data / "sandbox" / PORTAL_KEY), origin, back)


def _id_root(its: Settings) -> bytes:
    """The key that identifiers began with."""
    return _id_keys(its)[-1]


def _id_keys(its: Settings) -> list[bytes]:
    """The identifiers' keys, the newest first: one a line, each at least 32 bytes in hexadecimal."""
    from auth.ids import SANDBOX_ROOT

    if its.id_key_file is None:
        return [SANDBOX_ROOT]
    wanted = "ONESTOP_ID_KEY_FILE: give a readable file with one to three lines of at least 64 hexadecimal digits each."
    try:
        keys = [bytes.fromhex(line) for line in its.id_key_file.read_text("ascii").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise Refusal(wanted) from error
    if not 1 <= len(keys) <= 3 or any(len(key) < 32 for key in keys):
        raise Refusal(wanted)
    return keys


def _made_signing_key(data: Path) -> Path:
    """The sandbox's key of the access log; made at the first start and marked as the sandbox's."""
    file = data / "access-log-key.pem"
    if not file.exists():
        _make_signing_key(file, SANDBOX_MARK)
    return file


def _make_signing_key(file: Path, mark: bytes = b"") -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(mark + pem)


@main.command()
@click.option("--keep", is_flag=True, help="Go on serving afterwards.")
def demo(*, keep: bool) -> None:
    """Start everything in a fresh directory, ask the estate and the birth question, and show what came back."""
    from serving import demo as demonstration

    sys.exit(demonstration.run(keep=keep))


# ---------------------------------------------------------------- the sandbox


@main.group(invoke_without_command=True)
@click.option(
    "--port-base",
    default=8100,
    show_default=True,
    type=click.IntRange(0, 65000),
    help="Sign-in's port; the agencies follow. 0 takes free ones.",
)
@click.option(
    "--people", default=1000, show_default=True, type=click.IntRange(0, 1_000_000), help="People besides the personas."
)
@click.option("--seed", default=7, show_default=True, help="The same seed makes the same nation.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=STATE, show_default=True, help="State."
)
@click.pass_context
def sandbox(context: click.Context, port_base: int, people: int, seed: int, data: Path) -> None:
    """Serve only the sandbox: sign-in, registry, land, finance, pensions, tax, health, vehicles and the roster."""
    from sandbox.server import PORTAL_ORIGIN, Sandbox
    from sandbox.server import serve as serve_sandbox

    if context.invoked_subcommand is not None:
        context.obj = (people, seed)
        return
    logs.configure()
    its = settings()
    if its.production:
        raise Refusal("The sandbox signs anybody in as anybody: it does not run with ONESTOP_MODE=production.")
    world = Sandbox(
        directory=data / "sandbox",
        today=today(),
        now=lambda: datetime.now(UTC),
        port_base=port_base,
        people=people,
        seed=seed,
        id_root=_id_root(its),
        audience=its.audience or AUDIENCE,
        portal_origin=its.origin or PORTAL_ORIGIN,
    )

    def ready(endpoints: "Endpoints") -> None:
        running = Running(
            os.getpid(),
            str(data.resolve()),
            endpoints.issuer,
            its.audience or AUDIENCE,
            None,
            {**endpoints.controls, "ROSTER": endpoints.roster},
        )
        announcement.append(announced(running))
        announcement[0].__enter__()
        for agency, url in endpoints.agencies.items():
            click.echo(f"ONESTOP_{agency}_URL={url}", err=True)
        click.echo(f"ONESTOP_ROSTER_URL={endpoints.roster}", err=True)
        click.echo(f"READY {endpoints.issuer}")

    announcement: list[Any] = []
    try:
        serve_sandbox(world, ready)
    except OSError as error:
        raise Refusal(
            f"Port {port_base} or one after it is taken ({error.strerror}); choose another --port-base."
        ) from error
    finally:
        for each in announcement:
            each.__exit__(None, None, None)


@sandbox.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--persona", type=click.Choice(sorted(PERSONAS)), help="Only this persona.")
@click.pass_obj
def people(obj: tuple[int, int], as_json: bool, persona: str | None) -> None:
    """The known answers: per person and agency the exact facts that the graph must show."""
    from sandbox import known_answers
    from sandbox.nation import nation

    number, seed = obj
    answers = known_answers.known_answers(nation(seed, 0 if persona else number, today()), persona)
    click.echo(json.dumps(answers, ensure_ascii=False, indent=2) if as_json else known_answers.table(answers))


@main.command()
@click.option("--persona", required=True, type=click.Choice(sorted(PERSONAS)), help="Whose token.")
@click.option("--case", "case_id", help="Id of a case to narrow the token to.")
@click.option("--acting-for", type=click.Choice(sorted(PERSONAS)), help="Who is at the counter of this official.")
@click.option("--assurance", type=click.Choice(["low", "substantial", "high"]), default="high", show_default=True)
@click.option("--ttl", default=300, show_default=True, type=click.IntRange(1, 86400), help="Seconds it is good for.")
@click.option("--client", default=CLIENT, show_default=True, help="Client that it is issued to.")
@click.option(
    "--signed-in", default=0, show_default=True, type=click.IntRange(0), help="Seconds since the persona signed in."
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="State of the sandbox it is for (default: the one started last).",
)
@click.option("--dpop-key", type=KEY_FILE, help="Bind it to the key in this file (JWK, P-256; made when missing).")
def token(
    *,
    persona: str,
    case_id: str | None,
    acting_for: str | None,
    assurance: str,
    ttl: int,
    client: str,
    signed_in: int,
    data: Path | None,
    dpop_key: Path | None,
) -> None:
    """Print one sandbox access token for the sandbox that is running.

    With --dpop-key it is sent as `Authorization: DPoP <token>`, each time with a fresh `DPoP: <proof>` (onestop proof).
    """
    from sandbox.issuer import Issuer

    if settings().production:
        raise click.ClickException("Tokens of the sandbox are made in sandbox mode only.")
    if acting_for and (acting_for == persona or "CITIZEN" in PERSONAS[persona].roles):
        raise Refusal("--acting-for is for officials who act for somebody else.")
    here = newest(data or STATE) or (None if data else newest())
    if here is None:
        raise Refusal("No sandbox is running. Start one with `onestop serve`, and ask again.")
    now = datetime.now(UTC)
    issuer = Issuer(here.issuer, Path(here.directory) / "sandbox" / "issuer.jwk")
    levels: dict[str, Any] = {"low": 1, "substantial": 2, "high": 3}
    click.echo(
        issuer.token(
            PERSONAS[persona],
            audience=here.audience,
            client_id=client,
            acr=levels[assurance],
            ttl=timedelta(seconds=ttl),
            now=now,
            case=case_id,
            auth_time=now - timedelta(seconds=signed_in),
            jkt=_dpop_key(dpop_key).thumbprint() if dpop_key else None,
            on_behalf_of=PERSONAS[acting_for].subject if acting_for else None,
        )
    )


@main.command()
@click.option("--dpop-key", required=True, type=KEY_FILE, help="The key that the token is bound to.")
@click.option("--method", default="POST", show_default=True, help="HTTP method of the request.")
@click.option("--url", required=True, help="URL of the request.")
@click.option("--token", "token_", required=True, help="The access token that is sent with it.")
def proof(*, dpop_key: Path, method: str, url: str, token_: str) -> None:
    """Print one proof of possession, good for one request within a minute: the value of its `DPoP` header."""
    from sandbox.proof import proof as made

    if settings().production:
        raise click.ClickException("Proofs of the sandbox are made in sandbox mode only.")
    click.echo(made(_dpop_key(dpop_key), method=method, url=url, token=token_, now=datetime.now(UTC)))


def _dpop_key(file: Path) -> "ECKey":
    from joserfc.errors import JoseError

    from sandbox.issuer import signing_key

    try:
        key = signing_key(file)
        if key.curve_name == "P-256" and key.is_private:
            return key
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        raise Refusal(
            f"{file}: give a file with a private P-256 key as JWK, or one that does not exist yet."
        ) from error
    raise Refusal(f"{file}: give a private P-256 key.")


# ---------------------------------------------------------------- looking


@main.command("schema")
def schema_() -> None:
    """Print the graph: SDL with descriptions and @disclosure, sorted."""
    from serving import program

    click.echo(program.printed())


@main.command()
def policies() -> None:
    """Print who may see what, when and on which basis: the policies in words."""
    from auth import page

    click.echo(page.page(), nl=False)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def limits(*, as_json: bool) -> None:
    """Print the limits in force."""
    found = limits_in_force(settings())
    click.echo(
        json.dumps(found, indent=2) if as_json else "\n".join(f"{name} = {value}" for name, value in found.items())
    )


@main.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
def check(workers: int) -> None:
    """Validate the settings; exit status 2 with the reasons when they do not do."""
    if found := problems(settings(), workers):
        raise Refusal("\n".join(found))
    click.echo("The settings will do.")


@config.command()
def show() -> None:
    """Print the settings in force, secrets masked."""
    for name, value in shown(settings()).items():
        click.echo(f"{name}={'' if value is None else value}")


@main.command()
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=STATE, show_default=True, help="State."
)
def migrate(data: Path) -> None:
    """Bring the database to the current schema."""
    from cases.store import Cases

    its = settings()
    data.mkdir(parents=True, exist_ok=True)

    url = its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"

    async def migrated() -> None:
        async with Cases.opened(url):
            pass

    asyncio.run(migrated())
    click.echo("The database is at the current schema.")


# ---------------------------------------------------------------- trusted documents


@main.group()
def documents() -> None:
    """Trusted documents: see what they read, register, approve and revoke them (docs/trusted-documents.md)."""


DATA = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=STATE, show_default=True, help="State."
)
OF_CLIENT = click.option("--client", required=True, help="Client whose document it is, as its tokens say.")
DOCUMENTS = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


BOUND_TO = click.option(
    "--dpop-key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private key (JWK or PEM) that the token is bound to, if it is to one.",
)


def _holder(token: str, key_file: Path | None, data: Path, whose: str) -> "Callable[[datetime], Awaitable[Viewer]]":
    """How to find out whose token it is."""
    from serving.documents import DocumentError, holder, key_of

    configured, here = settings(), newest(data)
    issuer = configured.issuer or (here.issuer if here else None)
    audience = configured.audience or (here.audience if here else AUDIENCE)
    if issuer is None:
        raise Refusal("Nobody can check the token: set ONESTOP_ISSUER, or start the sandbox with `onestop serve`.")
    said = sys.stdin.read().strip() if token == "-" else token  # noqa: S105 - the dash is no secret
    try:
        key = key_of(key_file.read_bytes()) if key_file else None
    except DocumentError as error:
        raise click.ClickException(str(error)) from error
    return lambda now: holder(said, issuer, audience, now, whose, key)


def _at_desk(data: Path, work: "Callable[[Desk], Awaitable[T]]") -> T:
    """What comes of some work at the desk of documents; what cannot be done is exit status 1 with the reason."""
    from serving.documents import Desk, DocumentError

    its = settings()
    data.mkdir(parents=True, exist_ok=True)
    url = its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"

    async def done() -> T:
        async with Desk.opened(url, its.limits, introspection=its.introspection) as desk:
            return await work(desk)

    try:
        return asyncio.run(done())
    except DocumentError as error:
        raise click.ClickException(str(error)) from error


@documents.command("report")
@DOCUMENTS
@OF_CLIENT
@click.option("--purpose", required=True, help="Purpose that it would be approved for, such as ESTATE_DISCOVERY.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@DATA
def report_document(file: Path, client: str, purpose: str, data: Path, *, as_json: bool) -> None:
    """Print what documents read, whom they ask, which rows can apply. Exit status 1 when one is not valid."""
    content = file.read_text("utf-8")
    found = _at_desk(data, lambda desk: desk.reports(content, client, purpose))
    if as_json:
        click.echo(json.dumps({"documents": [each.json() for each in found]}, ensure_ascii=False, indent=2))
    else:
        click.echo("\n\n".join("\n".join(each.lines()) for each in found))
    sys.exit(any(each.document is None for each in found))


@documents.command("register")
@DOCUMENTS
@OF_CLIENT
@click.option("--purpose", required=True, help="Purpose that it is for, such as ESTATE_DISCOVERY.")
@DATA
def register_document(file: Path, client: str, purpose: str, data: Path) -> None:
    """Register a document, or all of a manifest, and print their ids. If one is not valid: none, exit status 1."""
    content = file.read_text("utf-8")
    found = _at_desk(data, lambda desk: desk.register(content, client, purpose, datetime.now(UTC)))
    for each in found:
        if each.document is None:
            click.echo("\n".join(each.lines()), err=True)
        else:
            was = f"  (in the file: {each.given.id})" if each.given.id else ""
            click.echo(f"{each.document.hash}  {each.operations}  {each.standing.state.name}{was}")
    sys.exit(any(each.document is None for each in found))


@documents.command("approve")
@click.argument("hash")
@OF_CLIENT
@click.option("--purpose", help="Purpose, when it is registered for several.")
@click.option("--token", required=True, help="The privacy officer's access token; `-` reads it from standard input.")
@BOUND_TO
@DATA
def approve_document(
    *,
    hash: str,  # noqa: A002 - as the command calls it
    client: str,
    purpose: str | None,
    token: str,
    key_file: Path | None,
    data: Path,
) -> None:
    """Approve a document as a privacy officer; two have to when it reads special categories."""
    whose = _holder(token, key_file, data, "a privacy officer's")

    async def approved(desk: "Desk") -> "tuple[Registered, Standing]":
        now = datetime.now(UTC)
        return await desk.approve(hash, client, purpose, await whose(now), now)

    its, stands = _at_desk(data, approved)
    click.echo(f"{its.hash}  {its.operations}  {its.purpose.name}  {stands.state.name}")
    if stands.reason:
        click.echo(stands.reason)


@documents.command("revoke")
@click.argument("hash")
@OF_CLIENT
@click.option("--reason", required=True, help="Why, in at most 500 characters; `list` shows it.")
@click.option("--token", help="Access token of who revokes; without one, the account at this machine is recorded.")
@BOUND_TO
@DATA
def revoke_document(
    *,
    hash: str,  # noqa: A002 - as the command calls it
    client: str,
    reason: str,
    token: str | None,
    key_file: Path | None,
    data: Path,
) -> None:
    """End a document's approvals. Running servers refuse it from the next question on; `history` has who did it."""
    whose = _holder(token, key_file, data, "a privacy officer's") if token else None

    async def revoked(desk: "Desk") -> int:
        now = datetime.now(UTC)
        by = (await whose(now)).person if whose else f"account:{getpass.getuser()}"
        return await desk.revoke(hash, client, reason[:500], by, now)

    if not _at_desk(data, revoked):
        raise click.ClickException(
            "No approval of this document by this client holds; `onestop documents list` has all."
        )
    click.echo("Revoked.")


@documents.command("history")
@click.option("--client", help="Only this client's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@DATA
def history_of_documents(client: str | None, data: Path, *, as_json: bool) -> None:
    """Print every approval and every end of one, with who did it: none is ever changed or erased."""
    found = _at_desk(data, lambda desk: desk.history(client))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for each in found:
        said = [each[name] or "-" for name in ("at", "event", "documentId", "client", "purpose", "actor", "reason")]
        click.echo("  ".join(said))


@documents.command("list")
@click.option("--client", help="Only this client's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@DATA
def list_documents(client: str | None, data: Path, *, as_json: bool) -> None:
    """Print the registered documents and where they stand."""
    found = _at_desk(data, lambda desk: desk.listed(client))
    if as_json:
        click.echo(json.dumps([each.json() for each in found], ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(line for each in found for line in each.lines()) or "No document is registered.")


# ---------------------------------------------------------------- findings


@main.group("findings")
def findings_() -> None:
    """Accesses that want a word of explanation."""


@findings_.command()
@click.option("--synthetic", is_flag=True, help="Over made-up traffic with planted snoopers: precision and recall.")
@click.option(
    "--officials", default=500, show_default=True, type=click.IntRange(125, 20_000), help="Officials in the traffic."
)
@click.option("--days", default=120, show_default=True, type=click.IntRange(60, 730), help="Days from 2025-01-01.")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0), help="The same seed, the same traffic.")
@click.option("--since", default=0, show_default=True, type=click.IntRange(0), help="First leaf index that is judged.")
@click.option("--dry-run", is_flag=True, help="Only print; keep no finding.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--store", help="URL of the log's database (default: the one in the settings).")
@DATA
def evaluate(
    *,
    synthetic: bool,
    officials: int,
    days: int,
    seed: int,
    since: int,
    dry_run: bool,
    as_json: bool,
    store: str | None,
    data: Path,
) -> None:
    """Run the thirteen rules over the log, keep what they find, and print how often each was noticed.

    With --synthetic over made-up traffic instead: how well the rules did. Its first 28 days only fill the figures that
    later days are compared with; nothing in them is counted.
    """
    if not synthetic:
        from serving import history

        result = _over_history(since, store, data, keep=not dry_run)
        click.echo(json.dumps(result, indent=2) if as_json else history.table(result))
        return
    from audit.findings.holidays import holidays
    from audit.findings.scoring import measured, table
    from sandbox.traffic import Traffic

    first = Traffic.first
    known = holidays(range(first.year, (first + timedelta(days=days + 200)).year + 1))
    result = measured(Traffic(officials, days, seed, known).months(), known)
    click.echo(json.dumps(result, indent=2) if as_json else table(result))


def _over_history(since: int, store: str | None, data: Path, *, keep: bool) -> dict[str, Any]:
    from cases.store import Cases
    from serving.history import evaluated
    from serving.protected import kept_cipher

    its = settings()
    url = its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"

    async def done() -> dict[str, Any]:
        async with _reading(store, data) as reading, Cases.opened(url) as cases:
            protected = cases.protected(kept_cipher(_id_root(its)))
            return await evaluated(reading, cases, since, datetime.now(UTC), keep=keep, protected=protected)

    found: dict[str, Any] = _unreadable_is_2(done())
    return found


@findings_.command()
@click.option("--office", required=True, help="The office, as the roster calls it.")
@click.option("--to", required=True, help="Its supervisor: `sub` in their tokens, or a persona's name.")
@click.option("--token", required=True, help="Access token of a privacy officer of the organisation; `-` reads it.")
@DATA
def supervise(office: str, to: str, token: str, data: Path) -> None:
    """Name who supervises an office: explanations that are overdue go over to them."""
    from cases.store import Cases
    from schema.identifiers import PersonId
    from schema.viewer import Role
    from serving.documents import DocumentError

    url = settings().database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"
    whose = _holder(token, None, data, "a privacy officer's")
    supervisor = PersonId(PERSONAS[to].subject if to in PERSONAS else to)

    async def named() -> None:
        now = datetime.now(UTC)
        viewer = await whose(now)
        if Role.PRIVACY_OFFICER not in viewer.roles or viewer.agency is None:
            raise click.ClickException("Only a privacy officer names supervisors: give a privacy officer's token.")
        async with Cases.opened(url) as cases:
            await cases.reviews().name_supervisor(viewer.agency, office, supervisor, viewer.person, now)

    try:
        asyncio.run(named())
    except DocumentError as error:
        raise click.ClickException(str(error)) from error
    click.echo("Named.")


@findings_.command("review")
@click.option("--month", required=True, help="The month, in Korea, as YYYY-MM.")
@click.option("--sign-off", "signs", is_flag=True, help="Sign for the month, once and for good.")
@click.option("--token", required=True, help="Access token of a privacy officer or auditor; `-` reads it.")
@BOUND_TO
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@DATA
def review_month(*, month: str, signs: bool, token: str, key_file: Path | None, as_json: bool, data: Path) -> None:
    """Print what a month's accesses of your organisation were like: share explained, findings, a sample to look at.

    That it was read is an entry of the access log.
    """
    from audit.keys import Keys
    from audit.writer import AccessLog, LogUnavailable
    from cases.store import Cases
    from serving import monthly
    from serving.documents import DocumentError

    its, whose = settings(), _holder(token, key_file, data, "a privacy officer's")
    keys = Keys(_log_master(its), _log_key(data))
    log_url = its.log_url or f"sqlite+aiosqlite:///{data.resolve()}/access-log.db"
    database_url = its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"

    async def reviewed() -> dict[str, Any]:
        now = datetime.now(UTC)
        officer = await whose(now)
        async with (
            Cases.opened(database_url) as cases,
            AccessLog.open(log_url, keys, lambda: datetime.now(UTC)) as log,
        ):
            return await (monthly.sign_off if signs else monthly.review)(officer, month, log, cases, now)

    try:
        seen = _unreadable_is_2(reviewed())
    except (monthly.ReviewRefusal, DocumentError) as error:
        raise click.ClickException(str(error)) from error
    except LogUnavailable as error:
        raise click.ClickException("The access log takes no entries now, so nothing was told. Try again.") from error
    click.echo(json.dumps(seen, ensure_ascii=False, indent=2) if as_json else monthly.lines(seen))


# ---------------------------------------------------------------- the protected list


@main.group()
def protected() -> None:
    """Persons whom only named officials may look at without a question (rule PUBLIC_FIGURE, docs/findings.md)."""


PERSON = click.option("--person", required=True, help="`subject` in an export, `sub` in tokens, or a persona's name.")
LETS = click.option("--official", required=True, help="The official: `sub` in their tokens, or a persona's name.")
WHY = click.option("--reason", required=True, help="Why, in at most 500 characters; it stays in the history.")
OFFICERS_TOKEN = click.option("--token", required=True, help="Access token of a privacy officer; `-` reads it.")


def _on_protected_list(
    data: Path, token: str, key_file: Path | None, work: "Callable[[ProtectedList, Viewer], Awaitable[T]]"
) -> T:
    """What a privacy officer does to the list; what cannot be done is exit status 1 with the reason."""
    from cases.protected import SealError
    from cases.store import Cases
    from serving.documents import DocumentError
    from serving.protected import ProtectedError, kept_cipher

    its, whose = settings(), _holder(token, key_file, data, "a privacy officer's")
    url = its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"

    async def done() -> T:
        officer = await whose(datetime.now(UTC))
        async with Cases.opened(url) as cases:
            return await work(cases.protected(kept_cipher(_id_root(its))), officer)

    try:
        return asyncio.run(done())
    except SealError as error:
        raise click.ClickException(
            f"{str(error).capitalize()}: is ONESTOP_ID_KEY_FILE the one it began with?"
        ) from error
    except (DocumentError, ProtectedError) as error:
        raise click.ClickException(str(error)) from error


def _changes_the_list(command: Callable[..., None]) -> Callable[..., None]:
    """What every command takes that changes the list."""
    for option in (DATA, BOUND_TO, OFFICERS_TOKEN, WHY, PERSON):
        command = option(command)
    return command


def _change_protected(
    deed: str, official: str | None, *, person: str, reason: str, token: str, key_file: Path | None, data: Path
) -> None:
    from cases.protected import Deed
    from serving.protected import change

    whom, lets = (each and (PERSONAS[each].subject if each in PERSONAS else each) for each in (person, official))
    now = datetime.now(UTC)
    _on_protected_list(
        data, token, key_file, lambda kept, by: change(kept, Deed[deed], by, (str(whom), lets), reason, now)
    )


@protected.command("add")
@_changes_the_list
def protect(**said: Any) -> None:
    """Put a person on your organisation's list: from now on, officials who look at them are asked why, everywhere."""
    _change_protected("ADD", None, **said)
    click.echo("Added. Name the officials who may look with `onestop protected allow`.")


@protected.command("remove")
@_changes_the_list
def unprotect(**said: Any) -> None:
    """Take a person off your organisation's list, and with them who may look."""
    _change_protected("REMOVE", None, **said)
    click.echo("Removed.")


@protected.command("allow")
@LETS
@_changes_the_list
def allow_official(official: str, **said: Any) -> None:
    """Let an official of your organisation look at a person on its list without being asked why."""
    _change_protected("ALLOW", official, **said)
    click.echo("Allowed.")


@protected.command("disallow")
@LETS
@_changes_the_list
def disallow_official(official: str, **said: Any) -> None:
    """Let an official look without a question no more, from now on."""
    _change_protected("DISALLOW", official, **said)
    click.echo("Disallowed.")


@protected.command("list")
@click.option("--history", is_flag=True, help="All that was ever done to the list: none of it is changed or erased.")
@OFFICERS_TOKEN
@BOUND_TO
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@DATA
def list_protected(*, history: bool, token: str, key_file: Path | None, as_json: bool, data: Path) -> None:
    """Print who is on your organisation's list and who may look, each with who said so and why."""
    from serving.protected import lines, listed

    found = _on_protected_list(data, token, key_file, lambda kept, by: listed(kept, by, history=history))
    click.echo(json.dumps(found, ensure_ascii=False, indent=2) if as_json else lines(found))


# ---------------------------------------------------------------- cases of an office


@main.group()
def cases() -> None:
    """Cases of an office: see who handles one, give it to somebody else, close it (docs/decisions/officials.md)."""


NUMBER = click.argument("number")
OFFICIALS_TOKEN = click.option(
    "--token", required=True, help="Access token of an official of the case's office; `-` reads it from standard input."
)


def _at_counter(data: Path, token: str, work: "Callable[[CaseDesk, Viewer], Awaitable[T]]") -> T:
    """What an official does at the desk of cases; what cannot be done is exit status 1 with the reason."""
    from serving.cases import CaseDesk, CaseError
    from serving.documents import DocumentError

    url = settings().database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"
    whose = _holder(token, None, data, "an official's")

    async def done() -> T:
        viewer = await whose(datetime.now(UTC))
        async with CaseDesk.opened(url) as desk:
            return await work(desk, viewer)

    try:
        return asyncio.run(done())
    except (CaseError, DocumentError) as error:
        raise click.ClickException(str(error)) from error


@cases.command("show")
@NUMBER
@OFFICIALS_TOKEN
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@DATA
def show_case(number: str, token: str, data: Path, *, as_json: bool) -> None:
    """Print who handles a case, and the history of that. Nothing of what the case is about."""
    found = _at_counter(data, token, lambda desk, viewer: desk.shown(number, viewer))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for name in ("number", "kind", "agency", "office", "officer", "openedAt", "closedAt"):
        click.echo(f"{name:9} {found[name] or '-'}")
    click.echo(f"{'consents':9} {' '.join(found['consents']) or '-'}")
    for each in found["history"]:
        click.echo(f"{each['at']}  {each['event']:6}  by {each['actor']}  {each['officer'] or ''}  {each['reason']}")


@cases.command("assign")
@NUMBER
@click.option("--to", required=True, help="The official who gets it: `sub` in their tokens, or a persona's name.")
@click.option("--reason", required=True, help="Why, in at most 500 characters; it stays in the history.")
@click.option("--office", help="Their office, where it is another one.")
@click.option("--agency", help="The organisation of that office.")
@OFFICIALS_TOKEN
@DATA
def assign_case(
    *, number: str, to: str, reason: str, office: str | None, agency: str | None, token: str, data: Path
) -> None:
    """Give a case to another official. Whoever had it sees nothing of it from that moment on."""
    officer = PERSONAS[to].subject if to in PERSONAS else to
    now = datetime.now(UTC)
    _at_counter(data, token, lambda desk, viewer: desk.assign(number, viewer, officer, (agency, office), reason, now))
    click.echo("Assigned.")


@cases.command("close")
@NUMBER
@click.option("--reason", required=True, help="Why, in at most 500 characters; it stays in the history.")
@OFFICIALS_TOKEN
@DATA
def close_case(number: str, reason: str, token: str, data: Path) -> None:
    """Close a case. Its officer sees nothing of it from that moment on; the family's mandates stay."""
    _at_counter(data, token, lambda desk, viewer: desk.close(number, viewer, reason, datetime.now(UTC)))
    click.echo("Closed.")


# ---------------------------------------------------------------- the access log


@main.group("log")
def log_() -> None:
    """Read and check the access log."""


def _reading(store: str | None, data: Path) -> Any:
    from audit.reading import Reading

    its = settings()
    url = store or its.log_read_url or its.log_url or f"sqlite+aiosqlite:///{data.resolve()}/access-log.db"
    return Reading.open(url, _log_master(its))


def _log_master(its: Settings) -> bytes:
    return hashlib.sha256(b"onestop/access-log/1" + _id_root(its)).digest()


def _owner_url(its: Settings, data: Path) -> str:
    return its.log_owner_url or its.log_url or f"sqlite+aiosqlite:///{data.resolve()}/access-log.db"


STORE = click.option("--store", help="URL of the log's database (default: the one in the settings).")


@log_.command()
@click.option("--since", default=0, show_default=True, type=click.IntRange(0), help="First leaf index.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "ocsf", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
    help="One JSON object a line; OCSF events (API Activity), one a line; CSV; Parquet.",
)
@click.option("--reason", help="Why. The export becomes an entry of the log, with this reason and your account.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    default="-",
    help="File to write; `-`, the default, is standard output.",
)
@STORE
@DATA
def export(since: int, form: str, reason: str | None, out: Path, store: str | None, data: Path) -> None:
    """Write the entries in order. Exit status 1 at one that was tampered with.

    With --reason, and in production always, the export itself is an entry, on disk before anything is written; without
    one the sandbox records nothing. An entry whose key was destroyed shows its place and nothing else.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from audit.writer import LogUnavailable
    from serving import exports

    if form == "parquet" and str(out) == "-" and sys.stdout.isatty():
        raise Refusal("--out: a terminal shows no Parquet; name a file, or pipe it.")
    if reason is not None and not reason.strip():
        raise Refusal("--reason: say why, or leave it out.")
    its = settings()
    kept = reason or ("none given" if its.production else None)
    url = store or its.log_url or f"sqlite+aiosqlite:///{data.resolve()}/access-log.db"

    async def exported() -> None:
        until = None
        async with _reading(store, data) as reading:  # makes no log where there is none
            if kept is not None:
                try:
                    until = await exports.record(url, _log_master(its), _log_key(data), form, since, kept.strip())
                except (LogUnavailable, SQLAlchemyError, OSError) as error:
                    raise Refusal(
                        "The export cannot be recorded, so nothing is exported; see ONESTOP_LOG_URL."
                    ) from error
            try:
                with click.open_file(str(out), "wb") as file:
                    await exports.write(reading, form, since, until, file)
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                raise Refusal(f"{out} cannot be written ({error.strerror}); choose another --out.") from error

    _unreadable_is_2(exported())


@log_.command()
@STORE
@DATA
@click.option("--checkpoint", type=KEY_FILE, help="A signed checkpoint kept elsewhere, which the log must contain.")
@click.option("--receipts", type=KEY_FILE, help="Receipts or whole answers, as JSON; each receipt must be in the log.")
@click.option("--tiles", type=FOLDER, help="Published tiles and checkpoint (default: the log's own).")
@click.option("--key", "keys", multiple=True, help="A further public key of the log (an earlier one), name+id+base64.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(
    store: str | None,
    data: Path,
    checkpoint: Path | None,
    receipts: Path | None,
    tiles: Path | None,
    keys: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Check every entry, the store's own definitions, and what was signed of the log.

    Exit status 0: intact. 1: tampered with; `first_bad` is the index of the first leaf that does not hold, or null
    where none can be named. 2: unreadable, or wrong use. 3: intact, but older than the checkpoint, so that entries at
    the end are missing.
    """
    from audit.checking import Unreadable
    from audit.verifying import verify as verdict_on

    its = settings()
    url = store or its.log_read_url or its.log_url or f"sqlite+aiosqlite:///{data.resolve()}/access-log.db"
    own = [] if store else [its.log_tile_dir or data / "access-log-tiles", *filter(None, [its.log_checkpoint_dir])]
    try:
        folders = [tiles] if tiles else own
        endorsed = _endorsed(its, folders)
        evidence = _evidence(its, data, checkpoint, receipts, folders, keys, endorsed)
        verdict = verdict_on(url, _log_master(its), evidence)
    except (Unreadable, OSError) as error:
        raise Refusal(f"The access log cannot be verified: {error}.") from error
    faults = [each.fault for each in endorsed if each.fault]
    if verdict.intact and faults:
        verdict = replace(verdict, intact=False, reason="; ".join(faults), older_than=None)
    older = verdict.older_than
    endorsed_at = max((each.at for each in endorsed if each.at), default=None)
    if as_json:
        said: dict[str, object] = {"intact": verdict.intact, "first_bad": verdict.first_bad, "reason": verdict.reason}
        said |= {"entries": verdict.entries, "leaves": verdict.leaves, "root": verdict.root}
        said |= {"older_than": None if older is None else older.size, "checkpoints": len(evidence.notes)}
        said |= {"endorsed": len(endorsed) - len(faults), "endorsed_at": endorsed_at and endorsed_at.isoformat()}
        click.echo(json.dumps(said, ensure_ascii=False))
    elif older is not None:
        click.echo(
            f"Intact, but older than {older.name}: the log has {verdict.leaves} leaves, {older.size} were signed. "
            "Entries at the end are missing, or an older copy was put back."
        )
    elif verdict.intact:
        under = " Nothing signed was at hand: a tail that was cut off does not show." if not evidence.notes else ""
        by = (
            f" Others vouch for {len(endorsed)} checkpoints, last at {endorsed_at:%Y-%m-%d %H:%M:%SZ}."
            if endorsed
            else ""
        )
        click.echo(f"Intact: {verdict.entries} entries in {verdict.leaves} leaves.{under}{by}")
    elif verdict.first_bad is None:
        click.echo(f"Tampered with: {verdict.reason}.")
    else:
        click.echo(f"Tampered with: leaf {verdict.first_bad} does not hold ({verdict.reason}).")
    sys.exit(1 if not verdict.intact else 3 if older is not None else 0)


def _endorsed(its: Settings, folders: Sequence[Path]) -> "list[Endorsed]":
    """What a witness and a timestamp authority said, as far as their keys are set, so that it can be checked."""
    from audit.checkpoint import COSIGNATURE, VerifierKey
    from audit.endorsed import Endorsements
    from audit.timestamp import authorities

    witness = VerifierKey.parsed(its.log_witness_key, COSIGNATURE) if its.log_witness_key else None
    roots = authorities(its.log_tsa_ca_file) if its.log_tsa_ca_file else []
    return [each for folder in folders for each in Endorsements(folder).checked(witness, roots)]


def _evidence(
    its: Settings,
    data: Path,
    checkpoint: Path | None,
    receipts: Path | None,
    folders: Sequence[Path],
    keys: Sequence[str],
    endorsed: "Sequence[Endorsed]" = (),
) -> "Evidence":
    """What the command was given, and the checkpoints the log itself published."""
    from audit.checkpoint import CheckpointError, VerifierKey
    from audit.verifying import Evidence, Note, receipts_in
    from serving.program import signing_key

    own = its.log_signing_key_file or data / "access-log-key.pem"
    try:
        signers = [VerifierKey.parsed(key).public for key in keys]
    except CheckpointError as error:
        raise Refusal(f"--key: {error}.") from error
    if own.exists():
        signers.append(signing_key(own).public_key())
    notes = [Note(f"the checkpoint {checkpoint.name}", checkpoint.read_bytes())] if checkpoint else []
    published = [folder for folder in folders if (folder / "checkpoint").is_file()]
    notes += [Note(f"the checkpoint in {folder.name}", (folder / "checkpoint").read_bytes()) for folder in published]
    notes += [Note(each.name, each.note) for each in endorsed if not each.fault]
    promised = receipts_in(receipts.read_bytes()) if receipts else ()
    if (notes or promised) and not signers:
        raise Refusal("There is no key to check signatures with: give --key, or ONESTOP_LOG_SIGNING_KEY_FILE.")
    return Evidence(signers=signers, notes=notes, receipts=promised, tiles=published[0] if published else None)


ARCHIVES = "access-log-archive"
ARCHIVE = click.option("--archive", type=FOLDER, help="Where compacted months lie (default: under --data).")
ORDER = click.option("--order", required=True, help="Reference of the order; it is kept in the log.")
YEAR = click.option("--year", required=True, type=click.IntRange(1970, 2999), help="Year, in UTC.")


def _as_owner(data: Path, act: "Callable[[Owner, datetime], Awaitable[T]]") -> T:
    """What comes of an act of the log's owner; exit status 1 with the reason when it may not be done."""
    from audit.owning import Owner, OwnerRefusal

    its = settings()

    async def done() -> T:
        async with Owner.open(_owner_url(its, data), _log_master(its)) as owner:
            return await act(owner, datetime.now(UTC))

    try:
        found: T = _unreadable_is_2(done())
    except OwnerRefusal as error:
        raise click.ClickException(f"{error}.") from error
    return found


@log_.command("init")
@DATA
def init_log(data: Path) -> None:
    """Make the access log, or bring it to this version, as its owner (docs/access-log-store.md).

    On PostgreSQL the roles of ONESTOP_LOG_URL and ONESTOP_LOG_READ_URL get what a writer and a reader need.
    """
    from audit.owning import OwnerRefusal, prepare

    its = settings()
    data.mkdir(parents=True, exist_ok=True)
    writer = its.log_url if its.log_owner_url else None
    try:
        _unreadable_is_2(prepare(_owner_url(its, data), _log_master(its), datetime.now(UTC), writer, its.log_read_url))
    except OwnerRefusal as error:
        raise Refusal(f"{error}.") from error
    click.echo("The access log is at the current schema.")


@log_.command()
@click.option(
    "--years", type=click.IntRange(1, 100), help="Keep so many years (default: ONESTOP_LOG_RETENTION_MONTHS)."
)
@ARCHIVE
@DATA
def retain(years: int | None, archive: Path | None, data: Path) -> None:
    """Drop the months whose time is over, compacted ones too. Their leaves stay, and each drop is a leaf of its own.

    Run it once a month. Exit status 1 for less than two years.
    """
    from audit.archive import folder_of

    months = years * 12 if years else settings().log_retention_months
    dropped = _as_owner(data, lambda owner, now: owner.retain(months, now))
    for month in dropped:
        shutil.rmtree(folder_of(archive or data / ARCHIVES, month), ignore_errors=True)
        click.echo(f"Dropped {month // 100}-{month % 100:02}.")
    if not dropped:
        click.echo(f"Nothing is older than {months} months.")


@log_.command()
@click.option("--month", required=True, metavar="YYYY-MM", help="A month that is over, in UTC.")
@ARCHIVE
@DATA
def compact(month: str, archive: Path | None, data: Path) -> None:
    """Write a closed month to Parquet, a file or more a day, with a signed manifest whose hash is a leaf of the log.

    What persons and officers are told stays sealed (docs/scale.md). A month that was compacted is checked against its
    manifest, its leaf and its signature instead. Exit status 1: it is not what was recorded, or cannot be written.
    """
    from audit import archive as archives
    from audit.checkpoint import origin
    from audit.entry import COMPACTED
    from audit.reading import Reading
    from audit.store import meta
    from audit.succession import changes

    try:
        began = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError as error:
        raise Refusal("--month: give a month as YYYY-MM.") from error
    number, folder = began.year * 100 + began.month, archive or data / ARCHIVES
    key = _log_key(data)

    async def compacted(owner: "Owner", now: datetime) -> "tuple[Manifest, bool]":
        async with Reading.open(_owner_url(settings(), data), _log_master(settings())) as reading:
            async with reading.engine.connect() as connection:
                facts = await meta(connection)
            recorded = facts.get(f"{COMPACTED}{number}")
            if recorded is not None:
                ours = [each.old.public for each in changes(origin(reading.epoch), facts)]
                return archives.checked(folder, number, recorded, [key.public_key(), *ours]), True
            made = await archives.compact(reading.engine, origin(reading.epoch), number, folder, key, now)
        await owner.compacted(number, made.hash)
        return made.manifest, False

    try:
        manifest, was_there = _as_owner(data, compacted)
    except archives.ArchiveError as error:
        raise click.ClickException(f"{error}.") from error
    said = "is as it was recorded" if was_there else "is compacted"
    size = sum(file.bytes for file in manifest.files)
    click.echo(f"{manifest.month} {said}: {manifest.rows} entries in {len(manifest.files)} files, {size} bytes.")


@log_.command()
@click.option("--person", required=True, help="The person, as `subject` in the officers' part of an export.")
@YEAR
@ORDER
@DATA
def erase(person: str, year: int, order: str, data: Path) -> None:
    """Make one person's entries of a year unreadable, by order. The order is a leaf of the log.

    Exit status 1 when there is nothing to destroy.
    """
    from schema.identifiers import PersonId

    keys = _as_owner(data, lambda owner, now: owner.erase(PersonId(person), year, order, now))
    click.echo(f"Destroyed {keys} key{'' if keys == 1 else 's'}.")


@log_.command()
@YEAR
@ORDER
@DATA
def unlink(year: int, order: str, data: Path) -> None:
    """Destroy a past year's reference key: nobody is found in that year again. The order is a leaf of the log."""
    _as_owner(data, lambda owner, now: owner.unlink(year, order, now))
    click.echo(f"{year} is unlinked.")


UNTIL = "--until: give a moment with its offset, such as 2026-03-01T00:00:00+09:00."


@log_.command("delay")
@click.option("--person", required=True, help="Whose data, as `subject` in the officers' part of an export.")
@click.option("--until", required=True, help="When it ends by itself, with its offset: 2026-03-01T00:00:00+09:00.")
@click.option("--authority", required=True, help="On whose authority: the court or office that ordered it.")
@ORDER
@click.option("--reason", required=True, help="Why, in at most 500 characters; it is kept with the order.")
@click.option("--token", required=True, help="The privacy officer's access token; `-` reads it from standard input.")
@BOUND_TO
@DATA
def delay_visibility(person: str, until: str, token: str, key_file: Path | None, data: Path, **said: str) -> None:
    """Keep your organisation's accesses to a person's data, from now on, from that person and the heirs until a moment.

    The accesses are logged as ever, with the order in each; they appear by themselves when it ends.
    """
    from audit.keys import Keys
    from audit.writer import AccessLog, LogUnavailable
    from cases.store import Cases
    from serving.delays import DelayRefusal, delay_until, enter

    its, whose = settings(), _holder(token, key_file, data, "a privacy officer's")
    keys = Keys(_log_master(its), _log_key(data))
    log_url = its.log_url or f"sqlite+aiosqlite:///{data.resolve()}/access-log.db"
    database_url = its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"
    try:
        said_until = datetime.fromisoformat(until)
        ends = said_until.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal(UNTIL) from None
    if said_until.tzinfo is None:
        raise Refusal(UNTIL)

    async def entered() -> None:
        now = datetime.now(UTC)
        officer = await whose(now)
        delay = delay_until(person, ends, officer, now, its.log_delay_days, **said)
        async with (
            Cases.opened(database_url) as cases,
            AccessLog.open(log_url, keys, lambda: datetime.now(UTC)) as log,
        ):
            await enter(delay, officer, log, cases.delays())

    from serving.documents import DocumentError

    try:
        _unreadable_is_2(entered())
    except (DelayRefusal, DocumentError) as error:
        raise click.ClickException(str(error)) from error
    except LogUnavailable as error:
        raise click.ClickException("The access log takes no entries now, so nothing was done. Try again.") from error
    click.echo(f"Told from {ends.isoformat(timespec='seconds')} on.")


@log_.command("delays")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@DATA
def list_delays(data: Path, *, as_json: bool) -> None:
    """Print every order that somebody is told only later, with who entered it and why."""
    from dataclasses import asdict

    from cases.store import Cases

    its = settings()
    database_url = its.database_url or f"sqlite+aiosqlite:///{data.resolve()}/cases.db"

    async def found() -> list[dict[str, Any]]:
        async with Cases.opened(database_url) as cases:
            return [asdict(each) for each in await cases.delays().all()]

    delays = [each | {name: each[name].isoformat() for name in ("since", "until")} for each in asyncio.run(found())]
    if as_json:
        click.echo(json.dumps(delays, ensure_ascii=False, indent=2))
        return
    for each in delays:
        click.echo("  ".join(each.values()))


def _unreadable_is_2(work: Any) -> Any:
    from audit.reading import DamageError
    from audit.store import StoreError

    try:
        return asyncio.run(work)
    except StoreError as error:
        raise Refusal(f"The access log cannot be read: {error}.") from error
    except DamageError as error:
        raise click.ClickException(f"The access log was tampered with: {error}.") from error


def _log_key(data: Path) -> Any:
    file = settings().log_signing_key_file or data / "access-log-key.pem"
    if not file.is_file():
        raise Refusal(
            f"{file}: no such key. Set ONESTOP_LOG_SIGNING_KEY_FILE, or --data to where the log's state lies."
        )
    return _ed25519(file)


def _ed25519(file: Path) -> Any:
    from serving import program

    try:
        return program.signing_key(file)
    except ValueError as error:
        raise Refusal(f"{file}: give an Ed25519 private key as PEM.") from error


def _with_tree(store: str | None, data: Path, work: "Callable[[Head], Awaitable[T]]") -> T:
    """What comes of some work on the newest tree head; whatever stands in its way is told, with an exit status."""
    from audit.checkpoint import CheckpointError
    from audit.sequencer import ForkError
    from serving.head import Head, NotProvenError

    its, key = settings(), _log_key(data)

    async def done() -> T:
        async with _reading(store, data) as reading:
            return await work(Head(reading, key, its.log_tile_dir or data / TILES, its.log_checkpoint_dir))

    try:
        found: T = _unreadable_is_2(done())
    except (ForkError, CheckpointError) as error:
        raise click.ClickException(f"The log does not continue what was signed: {error}.") from error
    except NotProvenError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise Refusal(f"{error.filename}: {error.strerror}.") from error
    return found


OUT = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
KEPT = click.Path(exists=True, dir_okay=False, path_type=Path)


@log_.command()
@click.option("--out", type=OUT, default="-", help="File to write; `-`, the default, is standard output.")
@STORE
@DATA
def checkpoint(out: Path, store: str | None, data: Path) -> None:
    """Write the newest signed tree head (C2SP checkpoint) of the log; keep it where the log's keeper cannot reach."""
    note = _with_tree(store, data, lambda head: head.note())
    _said_or_written(out, note.encode())


@log_.command("key")
@click.option("--history", is_flag=True, help="How it was changed: each change as a note that both keys signed.")
@STORE
@DATA
def log_key(store: str | None, data: Path, *, history: bool) -> None:
    """Print the log's public key, as name+id+key (C2SP signed note)."""

    async def named(head: "Head") -> str:
        changes = await head.changes()
        return "\n".join(changes) if history else f"{head.key.text}\n"

    click.echo(_with_tree(store, data, named), nl=False)


@log_.command("rotate-key")
@click.option("--new-key", required=True, type=KEY_FILE, help="The new key (Ed25519, PEM); made when missing.")
@DATA
def rotate_key(new_key: Path, data: Path) -> None:
    """Give the log's signing key up for a new one, which the old one introduces; the change is a leaf of the log.

    Then set ONESTOP_LOG_SIGNING_KEY_FILE to the new one and start the servers again within a minute: with the old one
    no tree head is signed any more. Who knows the old public key can tell the new one by `onestop log key --history`.
    """
    key = _log_key(data)
    _with_tree(None, data, lambda head: head.note())  # what the old key signs last, or why it may not
    if not new_key.exists():
        try:
            _make_signing_key(new_key, b"" if settings().production else SANDBOX_MARK)
        except OSError as error:
            raise Refusal(f"{new_key} cannot be written ({error.strerror}); choose another --new-key.") from error
    new = _ed25519(new_key)
    change = _as_owner(data, lambda owner, _now: owner.change_signing_key(key, new))
    click.echo(f"Up to leaf {change.leaf_index} the log is signed by {change.old.text},")
    click.echo(f"from there on by {change.new.text}.")
    click.echo(f"Set ONESTOP_LOG_SIGNING_KEY_FILE to {new_key}, start the servers again, and publish the new key.")


@log_.command("proof")
@click.argument("entry_id", required=False)
@click.option("--out", type=OUT, default="-", help="File to write; `-`, the default, is standard output.")
@click.option("--check", type=KEPT, help="Proof file, or an access-log.json with many, to check.")
@click.option("--key", help="Public key to check it with: name+id+key, or a file that holds it.")
@STORE
@DATA
def log_proof(
    entry_id: str | None, out: Path, check: Path | None, key: str | None, store: str | None, data: Path
) -> None:
    """Write the proof that the log holds an entry, or check one, for which nothing but the public key is needed.

    The file has what the person may be told, and nothing of the officers' part. Exit status 1: it proves nothing.
    """
    if check is not None and key is not None and entry_id is None:
        _check_proof(check, key)
    elif check is None and key is None and entry_id is not None:
        _said_or_written(out, _with_tree(store, data, lambda head: head.proof(entry_id)))
    else:
        raise Refusal("Give an ENTRY_ID (and --out FILE), or --check FILE together with --key PUBKEY.")


def _check_proof(file: Path, said: str) -> None:
    from audit.checkpoint import CheckpointError, VerifierKey
    from audit.proof import ProofError, proofs_in, proven

    try:
        key = VerifierKey.parsed(Path(said).read_text("utf-8") if "+" not in said else said)
    except (CheckpointError, OSError, ValueError) as error:
        raise Refusal("--key: give name+id+key as `onestop log key` prints it, or a file that holds it.") from error
    try:
        proven_ = [proven(each, key) for each in proofs_in(file.read_bytes())]
    except ProofError as error:
        raise click.ClickException(f"Not proven: {error}.") from error
    for found in proven_:
        click.echo(f"Proven: entry {found.told['id']} of {found.told['at']} is leaf {found.leaf_index}", nl=False)
        click.echo(f" of the log {found.checkpoint.origin} with {found.checkpoint.size} leaves.")
        click.echo(json.dumps(found.told, ensure_ascii=False, indent=2))


def _said_or_written(out: Path, data: bytes) -> None:
    if str(out) == "-":
        click.echo(data, nl=False)
        return
    try:
        out.write_bytes(data)
    except OSError as error:
        raise Refusal(f"{out} cannot be written ({error.strerror}); choose another --out.") from error


if __name__ == "__main__":
    main()
