"""The program: settings become stores, connectors, policies, the log and the graph, behind one ASGI application.

Everything is opened when the server starts and closed when it ends; nothing lives longer than the loop that serves it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import strawberry
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig

from audit.checkpoint import COSIGNATURE, VerifierKey
from audit.keys import Keys
from audit.timestamp import authorities
from audit.writer import AccessLog
from auth.challenge import METADATA
from auth.ids import Ids
from auth.keys import ALGORITHMS, IssuerKeys
from auth.policy import Policies
from auth.token import ASSURANCE, TokenCheck
from auth.viewer import Viewer
from cases.store import Cases
from connectors import finance, health, land, pensions, tax, vehicles
from connectors.connector import Connector
from connectors.jwks import Jwks
from connectors.registry import Register
from connectors.roster import Roster
from connectors.transport import AgencyError, Transport, Unavailable
from resolvers import birth, deferred, estate, log, roots
from resolvers.documents import Documents
from resolvers.house import House, Limits
from resolvers.operation import Graph
from schema.disclosure import Agency, disclosures
from schema.scalars import SCALARS
from serving import graphiql
from serving.access import Access
from serving.downloads import Downloads
from serving.drain import Drain
from serving.endorsing import Authority, Endorser, Endorsing, Witness
from serving.endpoint import Endpoint
from serving.health import Health
from serving.metrics import Metrics
from serving.proofs import Proofs
from serving.protected import kept_cipher
from serving.session import BrowserSessions, unconfigured
from serving.settings import AgencySettings, Settings
from serving.signin import ClientKey, RelyingParty, posting
from serving.tree import Tree
from serving.usage import Usage
from serving.watching import evaluate_forever

LARGEST_KEYS = 64 * 1024
LARGEST_CALLBACK = 1024 * 1024


def schema() -> strawberry.Schema:
    """The graph with all its resolvers, which importing their modules has attached."""
    return strawberry.Schema(
        roots.Query,
        roots.Mutation,
        roots.Subscription,
        types=[estate.ANSWERED, birth.ANSWERED],
        config=StrawberryConfig(scalar_map=SCALARS),
    )


def schema_hash(graph: strawberry.Schema) -> str:
    """Which graph it is."""
    return hashlib.sha256(graph.as_str().encode()).hexdigest()


def printed() -> str:
    """The graph as SDL, sorted."""
    return print_schema(schema())


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the program is told besides the settings: where the sandbox put things, or what production set."""

    settings: Settings
    database_url: str
    log_url: str
    id_root: bytes
    newer_id_keys: Sequence[bytes]
    signing_key: Ed25519PrivateKey
    tiles: Path
    issuer: str
    audience: str
    agencies: dict[Agency, str]
    tax_issuer: str
    callback_url: str | None
    portal: "Portal | None" = None
    roster: str | None = None


@dataclass(frozen=True, slots=True)
class Portal:
    """What our own portal signs people in with, and where browsers find it."""

    client_id: str
    key: ClientKey = field(repr=False)
    origin: str
    redirect_uri: str


class Program:
    """The ASGI application. Its parts are opened by the lifespan, in the loop that serves."""

    def __init__(self, wiring: Wiring, drain: Drain, metrics: Metrics) -> None:
        self._wiring = wiring
        self._drain = drain
        self._metrics = metrics
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or live through one lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with opened(self._wiring, self._drain, self._metrics) as app:
                self._app = app
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            structlog.get_logger().error("start_failed", error=error)
            await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
            return
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def opened(wiring: Wiring, drain: Drain, metrics: Metrics) -> AsyncIterator[Starlette]:
    """The application with everything behind it open."""
    settings = wiring.settings
    async with AsyncExitStack() as stack:
        clock = _now
        ids = Ids(wiring.id_root, wiring.newer_id_keys)
        cases = await stack.enter_async_context(Cases.opened(wiring.database_url))
        master = hashlib.sha256(b"onestop/access-log/1" + wiring.id_root).digest()
        tree = Tree(wiring.log_url, wiring.tiles, settings.log_checkpoint_dir, wiring.signing_key, metrics.registry)
        stack.push_async_callback(tree.finish)
        access_log = await stack.enter_async_context(
            AccessLog.open(wiring.log_url, Keys(master, wiring.signing_key), clock, read_url=settings.log_read_url)
        )
        published = await tree.begin(access_log.epoch)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=2.5),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        )
        endorsing = Endorsing(wiring.tiles, _endorsers(wiring, http), settings.log_witness_grace_s, metrics.registry)
        stack.push_async_callback(endorsing.finish)
        await endorsing.begin()
        access_log.allowed = lambda: endorsing.allowed
        keys = IssuerKeys(wiring.issuer, getting(http))
        transports = {
            agency: _transport(settings, agency, url)
            for agency, url in wiring.agencies.items()
            if agency is not Agency.VEHICLES
        }
        desk = wiring.roster and _to(None, wiring.roster, settings.roster)
        for transport in (*transports.values(), *([desk] if desk else [])):
            stack.push_async_callback(transport.drop_pool)
        replica = vehicles.replica(wiring.agencies[Agency.VEHICLES], timeout_s=_timeout_s(settings, Agency.VEHICLES))
        stack.push_async_callback(replica.dispose)
        graph = schema()
        core = graph._schema  # noqa: SLF001 - it has no public name
        leaves, leads_to = log.shape(core)
        finance_keys = Jwks(transports[Agency.FINANCE])
        tax_keys = Jwks(transports[Agency.TAX])
        alarm = structlog.get_logger()
        house = House(
            ids=ids,
            tokens=TokenCheck(
                wiring.issuer, wiring.audience, keys, cases.proofs.first, bearer_allowed=not settings.production
            ),
            policies=Policies(lambda message: alarm.error("policy_error", message=message)),
            cases=cases,
            log=access_log,
            published=published,
            roster=Roster(desk, ids.staff_id) if desk else None,
            registry=Register(transports[Agency.REGISTRY], clock, ids.sector(Agency.REGISTRY)),
            estate=_by_agency(
                land.estate(transports[Agency.LAND], clock),
                finance.estate(transports[Agency.FINANCE], clock),
                pensions.estate(transports[Agency.PENSIONS], clock),
                tax.estate(transports[Agency.TAX], clock, wiring.tax_issuer, tax_keys),
                health.estate(transports[Agency.HEALTH], clock),
                vehicles.estate(replica, clock),
            ),
            birth=_by_agency(
                land.birth(transports[Agency.LAND], clock),
                finance.birth(transports[Agency.FINANCE], clock),
                pensions.birth(transports[Agency.PENSIONS], clock),
                tax.birth(transports[Agency.TAX], clock, wiring.tax_issuer, tax_keys),
                health.birth(transports[Agency.HEALTH], clock),
                vehicles.birth(replica, clock),
            ),
            kept=kept_cipher(wiring.id_root),
            clock=clock,
            disclosed=disclosures(core),
            leaves=leaves,
            leads_to=leads_to,
            schema_hash=schema_hash(graph),
            sandbox=not settings.production,
            callback_url=wiring.callback_url,
            limits=Limits(deadline_s=settings.deadline_ms / 1000),
        )
        documents = Documents(
            core,
            settings.limits,
            registered=cases.documents.text,
            trusted_only=settings.trusted_documents,
            introspection=settings.introspection,
        )
        poller = asyncio.create_task(deferred.poll_forever(house))
        stack.callback(poller.cancel)
        judging = asyncio.create_task(evaluate_forever(house, settings.findings_every_s, lambda: tree.behind_s))
        stack.callback(judging.cancel)
        endpoint = Endpoint(
            Graph(core, documents, house, fast_path=settings.fast_path),
            limits=settings.limits,
            metrics=metrics,
            drain=drain,
            origin=settings.known_origin,
            page=None if settings.production else graphiql.page(),
        )
        log_healthy = _healthy(access_log, tree, endorsing)
        health_ = Health(
            {"log": log_healthy, "database": cases.healthy, "keys": keys.healthy},
            {agency.name: _reachable(transport) for agency, transport in transports.items()}
            | {"VEHICLES": _replica_reachable(replica)},
            drain,
        )
        browser = _browser_sessions(wiring, keys, http, cases, clock)
        yield Starlette(
            routes=[
                Route("/graphql", browser.guarded(endpoint, settings.known_origin) if browser else endpoint),
                *(browser.routes() if browser else unconfigured()),
                Route("/callbacks/{agency}", _callback(house, finance_keys), methods=["POST"]),
                *([] if settings.production else [graphiql.files()]),
                *health_.routes(),
                *Proofs(core, house, published, wiring.signing_key, settings.known_origin).routes(),
                *Downloads(core, house, published, wiring.signing_key, settings.known_origin).routes(),
                *Usage(core, house, log_healthy, settings.log_retention_months, settings.known_origin).routes(),
                *endorsing.routes(),
                *tree.routes(),
                *Access(house.policies, _whose(house), settings.origin).routes(),
                *(Route(f"{METADATA}{path}", _resource(wiring)) for path in ("", "/graphql")),
                Route("/", _front),
            ]
        )


def _browser_sessions(
    wiring: Wiring, keys: IssuerKeys, http: aiohttp.ClientSession, cases: Cases, clock: Callable[[], datetime]
) -> BrowserSessions | None:
    if (portal := wiring.portal) is None:
        return None
    issuer = RelyingParty(
        issuer=wiring.issuer,
        audience=wiring.audience,
        client_id=portal.client_id,
        key=portal.key,
        redirect_uri=portal.redirect_uri,
        keys=keys,
        get=getting(http),
        post=posting(http),
        clock=clock,
    )
    callback = urlsplit(portal.redirect_uri).path
    return BrowserSessions(issuer, cases.sessions(), wiring.id_root, portal.origin, clock, callback)


def _now() -> datetime:
    return datetime.now(UTC)


def _by_agency(*connectors: Connector[Any]) -> dict[Agency, Connector[Any]]:
    return {connector.agency: connector for connector in connectors}


def _timeout_s(settings: Settings, agency: Agency) -> float:
    return settings.agencies[agency.name].timeout_ms / 1000


def _transport(settings: Settings, agency: Agency, url: str) -> Transport:
    return _to(agency, url, settings.agencies[agency.name])


def _to(agency: Agency | None, url: str, its: AgencySettings) -> Transport:
    return Transport(
        agency,
        url,
        timeout_s=its.timeout_ms / 1000,
        ca_file=its.ca_file,
        client_cert_file=its.client_cert_file,
        client_key_file=its.client_key_file,
    )


def getting(http: aiohttp.ClientSession) -> Callable[[str], Awaitable[bytes]]:
    """How an issuer's metadata and keys are fetched."""

    async def get(url: str) -> bytes:
        try:
            async with http.get(url, allow_redirects=False) as reply:
                if reply.status != 200:
                    raise OSError(reply.status)
                body = await reply.content.read(LARGEST_KEYS + 1)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(type(error).__name__) from error
        if len(body) > LARGEST_KEYS:
            raise OSError("too large")
        return body

    return get


def _healthy(access_log: AccessLog, tree: Tree, endorsing: Endorsing) -> Callable[[], Awaitable[bool]]:
    async def healthy() -> bool:
        return access_log.healthy and tree.healthy and endorsing.allowed

    return healthy


def _endorsers(wiring: Wiring, http: aiohttp.ClientSession) -> list[Endorser]:
    """Whom the settings name."""
    its, found = wiring.settings, list[Endorser]()
    if its.log_witness_url and its.log_witness_key:
        key = VerifierKey.parsed(its.log_witness_key, COSIGNATURE)
        found.append(Witness(its.log_witness_url, key, http, wiring.tiles))
    if its.log_tsa_url and its.log_tsa_ca_file:
        found.append(Authority(its.log_tsa_url, authorities(its.log_tsa_ca_file), http, wiring.tiles))
    return found


def _reachable(transport: Transport) -> Callable[[], Awaitable[bool]]:
    async def reachable() -> bool:
        """An agency is there when it says anything, a refusal included."""
        try:
            await transport.request("GET", "/", purpose="SUBJECT_ACCESS")
        except AgencyError:
            return False
        return True

    return reachable


def _replica_reachable(replica: Any) -> Callable[[], Awaitable[bool]]:
    async def reachable() -> bool:
        async with replica.connect() as connection:
            await connection.exec_driver_sql("SELECT 1 FROM replica_state")
        return True

    return reachable


def _callback(house: House, keys: Jwks) -> Callable[[Request], Awaitable[Response]]:
    async def callback(request: Request) -> Response:
        """A slow agency's signed answer."""
        if request.path_params["agency"] != "finance":
            return JSONResponse({"error": "NO_SUCH_AGENCY"}, 404)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_CALLBACK:
                return JSONResponse({"error": "TOO_LARGE"}, 413)
        try:
            said = await finance.verify_callback(body, request.headers.get("x-signature", ""), keys, house.clock())
        except Unavailable:
            return JSONResponse({"error": "TRY_AGAIN"}, 503, headers={"Retry-After": "30"})
        except AgencyError as error:
            return JSONResponse({"error": error.code}, 401)
        status = await deferred.called_back(house, said)
        return JSONResponse({"taken": status == 200}, status)

    return callback


def _whose(house: House) -> Callable[[Request], Awaitable[Viewer]]:
    async def whose(request: Request) -> Viewer:
        return await house.tokens.viewer(request.headers.get("authorization"), house.clock())

    return whose


def _resource(wiring: Wiring) -> Callable[[Request], Awaitable[Response]]:
    async def resource(_request: Request) -> Response:
        """RFC 9728."""
        return JSONResponse(
            {
                "resource": wiring.audience,
                "authorization_servers": [wiring.issuer],
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": ALGORITHMS,
                "dpop_bound_access_tokens_required": wiring.settings.production,
                "acr_values_supported": list(ASSURANCE),  # not registered for resources; what a step-up may ask for
                "resource_name": "onestop",
            }
        )

    return resource


async def _front(_request: Request) -> Response:
    """A sign to the API until the portal is served here."""
    return PlainTextResponse(
        "onestop: POST /graphql (in the sandbox, GET /graphql is GraphiQL). GET /readyz tells how it is.\n"
    )


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The log's key in a PEM file."""
    key = load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{file}: not an Ed25519 private key")  # noqa: TRY004 - the file is bad, not the call
    return key
