"""Settings: from the environment or a TOML file, every name and value checked before anything starts.

The names are those of contract/blackbox.md; docs/settings.md lists them all, and a test keeps it so.
"""

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from resolvers.documents import Limits
from resolvers.operation_types import FastPath

T = TypeVar("T")

AGENCIES: Final = ("REGISTRY", "LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES", "WELFARE")
MODES: Final = ("sandbox", "production")
CONFIG: Final = "ONESTOP_CONFIG"

_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,256}")
_CALLBACK: Final = re.compile(r"/session/(?!log(?:in|out)$)[A-Za-z0-9_-]{1,64}")

SANDBOX_MARK: Final = b"onestop-sandbox"
"""Stands somewhere in every key file the sandbox makes, so that production can refuse it."""

SECRETS: Final = (
    "ONESTOP_DATABASE_URL",
    "ONESTOP_LOG_URL",
    "ONESTOP_LOG_READ_URL",
    "ONESTOP_LOG_OWNER_URL",
    "ONESTOP_VEHICLES_URL",
)
"""Database URLs, which may hold a password. Each may be given as `…_FILE` instead."""

NAMES: Final = frozenset(
    {
        CONFIG,
        "ONESTOP_MODE",
        "ONESTOP_DATABASE_URL",
        "ONESTOP_LOG_URL",
        "ONESTOP_LOG_READ_URL",
        "ONESTOP_LOG_OWNER_URL",
        "ONESTOP_LOG_RETENTION_MONTHS",
        "ONESTOP_LOG_DELAY_DAYS",
        "ONESTOP_LOG_CHECKPOINT_DIR",
        "ONESTOP_LOG_TILE_DIR",
        "ONESTOP_LOG_SIGNING_KEY_FILE",
        "ONESTOP_LOG_TSA_URL",
        "ONESTOP_LOG_TSA_CA_FILE",
        "ONESTOP_LOG_WITNESS_URL",
        "ONESTOP_LOG_WITNESS_KEY",
        "ONESTOP_LOG_WITNESS_GRACE_S",
        "ONESTOP_ID_KEY_FILE",
        "ONESTOP_ISSUER",
        "ONESTOP_AUDIENCE",
        "ONESTOP_ORIGIN",
        "ONESTOP_PORTAL_CLIENT_ID",
        "ONESTOP_PORTAL_KEY_FILE",
        "ONESTOP_PORTAL_REDIRECT_URI",
        "ONESTOP_DEADLINE_MS",
        "ONESTOP_TRUSTED_DOCUMENTS",
        "ONESTOP_INTROSPECTION",
        "ONESTOP_FAST_PATH",
        "ONESTOP_FINDINGS_EVERY_S",
        "ONESTOP_IN_FLIGHT",
        "ONESTOP_ADMIN_LISTEN",
        *(f"{name}_FILE" for name in SECRETS),
        *(f"ONESTOP_ROSTER_{name}" for name in ("URL", "TIMEOUT_MS", "CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE")),
        *(
            f"ONESTOP_{agency}_{name}"
            for agency in AGENCIES
            for name in ("URL", "TIMEOUT_MS", "CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE")
        ),
    }
)


class SettingsError(Exception):
    """What is wrong, one sentence per setting, each with its name and a remedy. Never a secret's value."""

    code = "BAD_SETTINGS"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class AgencySettings:
    url: str | None = field(default=None, repr=False)
    timeout_ms: int = 2500
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """None means: the sandbox's own, or nothing."""

    mode: str = "sandbox"
    database_url: str | None = field(default=None, repr=False)
    log_url: str | None = field(default=None, repr=False)
    log_read_url: str | None = field(default=None, repr=False)
    log_owner_url: str | None = field(default=None, repr=False)
    log_retention_months: int = 60
    log_delay_days: int = 180
    log_checkpoint_dir: Path | None = None
    log_tile_dir: Path | None = None
    log_signing_key_file: Path | None = None
    log_tsa_url: str | None = None
    log_tsa_ca_file: Path | None = None
    log_witness_url: str | None = None
    log_witness_key: str | None = None
    log_witness_grace_s: int = 14_400
    id_key_file: Path | None = None
    issuer: str | None = None
    audience: str | None = None
    origin: str | None = None
    portal_client_id: str | None = None
    portal_key_file: Path | None = None
    portal_redirect_uri: str | None = None
    deadline_ms: int = 8000
    trusted_documents: bool = False
    introspection: bool = True
    fast_path: FastPath = FastPath.ON
    findings_every_s: int = 30
    admin_listen: tuple[str, int] | None = None
    agencies: Mapping[str, AgencySettings] = field(default_factory=lambda: dict.fromkeys(AGENCIES, AgencySettings()))
    roster: AgencySettings = field(default_factory=AgencySettings)
    limits: Limits = field(default_factory=Limits)

    @property
    def production(self) -> bool:
        return self.mode == "production"

    @property
    def known_origin(self) -> str | None:
        """How the outside names this server; where it is not set, production takes it from the audience.

        Never from a request's Host there: a proof made for another host could be sent on to us under its name.
        """
        if self.origin is not None or not self.production:
            return self.origin
        audience = urlsplit(self.audience or "")
        return f"{audience.scheme}://{audience.netloc}" if audience.scheme == "https" and audience.netloc else None

    @classmethod
    def load(cls, environ: Mapping[str, str], toml_path: Path | None = None) -> "Settings":
        """The environment's, over those of `toml_path` or ONESTOP_CONFIG; a SettingsError names all faults."""
        given = _Given(environ, toml_path)
        production = given.taken("ONESTOP_MODE", _one_of(*MODES), "sandbox") == "production"
        agencies = {agency: given.agency(agency) for agency in AGENCIES}
        roster = given.agency("ROSTER")
        settings = cls(
            mode="production" if production else "sandbox",
            database_url=given.taken("ONESTOP_DATABASE_URL", _database_url, None),
            log_url=given.taken("ONESTOP_LOG_URL", _database_url, None),
            log_read_url=given.taken("ONESTOP_LOG_READ_URL", _database_url, None),
            log_owner_url=given.taken("ONESTOP_LOG_OWNER_URL", _database_url, None),
            log_retention_months=given.taken("ONESTOP_LOG_RETENTION_MONTHS", _between(24, 1200), 60),
            log_delay_days=given.taken("ONESTOP_LOG_DELAY_DAYS", _between(1, 730), 180),
            log_checkpoint_dir=given.taken("ONESTOP_LOG_CHECKPOINT_DIR", Path, None),
            log_tile_dir=given.taken("ONESTOP_LOG_TILE_DIR", Path, None),
            log_signing_key_file=given.taken("ONESTOP_LOG_SIGNING_KEY_FILE", _file, None),
            log_tsa_url=given.taken("ONESTOP_LOG_TSA_URL", _web_url, None),
            log_tsa_ca_file=given.taken("ONESTOP_LOG_TSA_CA_FILE", _authorities_file, None),
            log_witness_url=given.taken("ONESTOP_LOG_WITNESS_URL", _web_url, None),
            log_witness_key=given.taken("ONESTOP_LOG_WITNESS_KEY", _witness_key, None),
            log_witness_grace_s=given.taken("ONESTOP_LOG_WITNESS_GRACE_S", _between(300, 604_800), 14_400),
            id_key_file=given.taken("ONESTOP_ID_KEY_FILE", _file, None),
            issuer=given.taken("ONESTOP_ISSUER", _web_url, None),
            audience=given.taken("ONESTOP_AUDIENCE", str, None),
            origin=given.taken("ONESTOP_ORIGIN", _origin, None),
            portal_client_id=given.taken("ONESTOP_PORTAL_CLIENT_ID", _client_id, None),
            portal_key_file=given.taken("ONESTOP_PORTAL_KEY_FILE", _client_key_file, None),
            portal_redirect_uri=given.taken("ONESTOP_PORTAL_REDIRECT_URI", _web_url, None),
            deadline_ms=given.taken("ONESTOP_DEADLINE_MS", _between(1, 600_000), 8000),
            trusted_documents=given.taken("ONESTOP_TRUSTED_DOCUMENTS", _switch, production),
            introspection=given.taken("ONESTOP_INTROSPECTION", _switch, not production),
            fast_path=given.taken("ONESTOP_FAST_PATH", _fast_path, FastPath.ON),
            findings_every_s=given.taken("ONESTOP_FINDINGS_EVERY_S", _between(1, 60), 30),
            admin_listen=given.taken("ONESTOP_ADMIN_LISTEN", _loopback, None),
            agencies=agencies,
            roster=roster,
            limits=Limits(in_flight=given.taken("ONESTOP_IN_FLIGHT", _between(1, 100_000), Limits().in_flight)),
        )
        given.problems.extend(_portal_problems(settings))
        given.problems.extend(_endorsement_problems(settings))
        if given.problems:
            raise SettingsError(given.problems)
        return settings


def _portal_problems(settings: Settings) -> Iterator[str]:
    """Client and key go together, at an issuer that is set; browsers come back to a place of ours."""
    if (settings.portal_client_id is None) != (settings.portal_key_file is None):
        missing = "CLIENT_ID" if settings.portal_client_id is None else "KEY_FILE"
        yield f"ONESTOP_PORTAL_{missing}: missing; set ONESTOP_PORTAL_CLIENT_ID and ONESTOP_PORTAL_KEY_FILE, or neither"
    elif settings.portal_client_id is not None and settings.issuer is None:
        yield "ONESTOP_ISSUER: missing; ONESTOP_PORTAL_CLIENT_ID is a client of an issuer that is not the sandbox's"
    if settings.portal_redirect_uri is None:
        return
    if settings.portal_client_id is None:
        yield "ONESTOP_PORTAL_REDIRECT_URI: drop it, or set ONESTOP_PORTAL_CLIENT_ID, which it is registered for"
    place = urlsplit(settings.portal_redirect_uri)
    if f"{place.scheme}://{place.netloc}" != settings.known_origin or not _CALLBACK.fullmatch(place.path):
        yield "ONESTOP_PORTAL_REDIRECT_URI: use ONESTOP_ORIGIN and a path such as /session/callback"


def _endorsement_problems(settings: Settings) -> Iterator[str]:
    """Who is asked to endorse the log's checkpoints has to be known by a key: without it, anybody could answer."""
    if settings.log_tsa_url is not None and settings.log_tsa_ca_file is None:
        yield "ONESTOP_LOG_TSA_CA_FILE: missing; set the certificate of the authority at ONESTOP_LOG_TSA_URL"
    if settings.log_witness_url is not None and settings.log_witness_key is None:
        yield "ONESTOP_LOG_WITNESS_KEY: missing; set the public key of the witness at ONESTOP_LOG_WITNESS_URL"


def problems(settings: Settings, workers: int) -> list[str]:
    """Why production would be unsafe with these settings. Nothing for the sandbox."""
    return list(_refusals(settings, workers)) if settings.production else []


def _refusals(settings: Settings, workers: int) -> Iterator[str]:
    for name, key in (
        ("ONESTOP_LOG_SIGNING_KEY_FILE", settings.log_signing_key_file),
        ("ONESTOP_ID_KEY_FILE", settings.id_key_file),
    ):
        if key is None or SANDBOX_MARK in key.read_bytes().lower():
            yield f"{name}: sandbox keys are public; set a file with a key of your own"
    yield from _token_refusals(settings)
    for agency, its in settings.agencies.items():
        yield from _agency_refusals(agency, its.url)
    if settings.roster.url is not None:
        yield from _agency_refusals("ROSTER", settings.roster.url)
    if settings.introspection:
        yield "ONESTOP_INTROSPECTION: on shows the graph to anybody; set it off"
    if settings.log_owner_url is not None:
        yield "ONESTOP_LOG_OWNER_URL: who serves may not own the log; set it for the `onestop log` commands only"
    if workers > 1:
        for name, url in (("ONESTOP_DATABASE_URL", settings.database_url), ("ONESTOP_LOG_URL", settings.log_url)):
            if url is None or url.startswith("sqlite"):
                yield f"{name}: SQLite serves one worker; use postgresql+asyncpg or `--workers 1`"


def _token_refusals(settings: Settings) -> Iterator[str]:
    if settings.issuer is None or _is_sandbox(settings.issuer):
        yield "ONESTOP_ISSUER: the sandbox signs anybody in; set the issuer of real tokens, by https"
    if settings.audience is None:
        yield "ONESTOP_AUDIENCE: not set; set what real tokens carry as `aud`"
    elif not (settings.known_origin or "").startswith("https:"):
        yield "ONESTOP_ORIGIN: not https, or not known from the audience; set how the outside names this server"


def _agency_refusals(agency: str, url: str | None) -> Iterator[str]:
    name = f"ONESTOP_{agency}_URL"
    if url is None and agency == "WELFARE":
        return  # nobody asks it yet
    if url is None:
        yield f"{name}: not set, and the sandbox's agency holds nobody's facts; set where the agency is"
    elif url.startswith("http:"):
        yield f"{name}: plain http can be read and changed on its way; use https"
    elif url.startswith("sqlite"):
        yield f"{name}: SQLite is the sandbox's replica; use postgresql+asyncpg"


def shown(settings: Settings) -> dict[str, Any]:
    """By name as set, for `onestop config show`. Of a database URL only its kind, as the rest may be secret."""
    plain: dict[str, Any] = {
        "ONESTOP_MODE": settings.mode,
        "ONESTOP_DATABASE_URL": _masked(settings.database_url),
        "ONESTOP_LOG_URL": _masked(settings.log_url),
        "ONESTOP_LOG_READ_URL": _masked(settings.log_read_url),
        "ONESTOP_LOG_OWNER_URL": _masked(settings.log_owner_url),
        "ONESTOP_LOG_RETENTION_MONTHS": settings.log_retention_months,
        "ONESTOP_LOG_DELAY_DAYS": settings.log_delay_days,
        "ONESTOP_LOG_CHECKPOINT_DIR": settings.log_checkpoint_dir,
        "ONESTOP_LOG_TILE_DIR": settings.log_tile_dir,
        "ONESTOP_LOG_SIGNING_KEY_FILE": settings.log_signing_key_file,
        "ONESTOP_LOG_TSA_URL": settings.log_tsa_url,
        "ONESTOP_LOG_TSA_CA_FILE": settings.log_tsa_ca_file,
        "ONESTOP_LOG_WITNESS_URL": settings.log_witness_url,
        "ONESTOP_LOG_WITNESS_KEY": settings.log_witness_key,
        "ONESTOP_LOG_WITNESS_GRACE_S": settings.log_witness_grace_s,
        "ONESTOP_ID_KEY_FILE": settings.id_key_file,
        "ONESTOP_ISSUER": settings.issuer,
        "ONESTOP_AUDIENCE": settings.audience,
        "ONESTOP_ORIGIN": settings.origin,
        "ONESTOP_PORTAL_CLIENT_ID": settings.portal_client_id,
        "ONESTOP_PORTAL_KEY_FILE": settings.portal_key_file,
        "ONESTOP_PORTAL_REDIRECT_URI": settings.portal_redirect_uri,
        "ONESTOP_DEADLINE_MS": settings.deadline_ms,
        "ONESTOP_TRUSTED_DOCUMENTS": "on" if settings.trusted_documents else "off",
        "ONESTOP_INTROSPECTION": "on" if settings.introspection else "off",
        "ONESTOP_FAST_PATH": settings.fast_path.value,
        "ONESTOP_FINDINGS_EVERY_S": settings.findings_every_s,
        "ONESTOP_IN_FLIGHT": settings.limits.in_flight,
        "ONESTOP_ADMIN_LISTEN": "{}:{}".format(*settings.admin_listen) if settings.admin_listen else None,
    }
    for agency, its in (*settings.agencies.items(), ("ROSTER", settings.roster)):
        plain[f"ONESTOP_{agency}_URL"] = _masked(its.url) if agency == "VEHICLES" else its.url
        plain[f"ONESTOP_{agency}_TIMEOUT_MS"] = its.timeout_ms
        plain[f"ONESTOP_{agency}_CA_FILE"] = its.ca_file
        plain[f"ONESTOP_{agency}_CLIENT_CERT_FILE"] = its.client_cert_file
        plain[f"ONESTOP_{agency}_CLIENT_KEY_FILE"] = its.client_key_file
    return {name: str(value) if isinstance(value, Path) else value for name, value in plain.items()}


def limits_in_force(settings: Settings) -> dict[str, Any]:
    """For `onestop limits --json`."""
    timeouts = {agency: its.timeout_ms for agency, its in settings.agencies.items()}
    return {**asdict(settings.limits), "deadline_ms": settings.deadline_ms, "agency_timeout_ms": timeouts}


class _Given:
    """What was set where, and what is wrong with it."""

    def __init__(self, environ: Mapping[str, str], toml_path: Path | None) -> None:
        self.problems: list[str] = []
        named = environ.get(CONFIG)
        path = toml_path or (Path(named) if named else None)
        values = self._from_toml(path) if path else {}
        values.update({name: value for name, value in environ.items() if name.startswith("ONESTOP_")})
        self._values = {name: value for name, value in values.items() if self._is_known(name)}

    def _from_toml(self, path: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            self.problems.append(f"{CONFIG}: {path} cannot be read; name a file that exists")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            self.problems.append(f"{CONFIG}: {path} is no TOML; write lines like ONESTOP_MODE = 'sandbox'")
        return {}

    def _is_known(self, name: str) -> bool:
        if name not in NAMES:
            near = difflib.get_close_matches(name, sorted(NAMES), n=1)
            self.problems.append(f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "; remove it"))
        return name in NAMES

    def agency(self, agency: str) -> AgencySettings:
        """How to reach an agency, or the roster."""
        its = AgencySettings(
            self.taken(f"ONESTOP_{agency}_URL", _replica_url if agency == "VEHICLES" else _web_url, None),
            self.taken(f"ONESTOP_{agency}_TIMEOUT_MS", _between(1, 600_000), 2500),
            self.taken(f"ONESTOP_{agency}_CA_FILE", _file, None),
            self.taken(f"ONESTOP_{agency}_CLIENT_CERT_FILE", _file, None),
            self.taken(f"ONESTOP_{agency}_CLIENT_KEY_FILE", _file, None),
        )
        if (its.client_cert_file is None) != (its.client_key_file is None):
            missing = "KEY" if its.client_key_file is None else "CERT"
            self.problems.append(
                f"ONESTOP_{agency}_CLIENT_{missing}_FILE: missing; set certificate and key, or neither"
            )
        return its

    def taken(self, name: str, type_: Callable[[str], T], default: T) -> T:
        value = self._values.get(name)
        file = self._values.get(f"{name}_FILE") if name in SECRETS else None
        if value is not None and file is not None:
            self.problems.append(f"{name}: set twice; drop it or {name}_FILE")
            return default
        try:
            if file is not None:
                value = _file(str(file)).read_text(encoding="utf-8")
            return default if value is None else type_(_text(value))
        except (ValueError, OSError) as error:
            self.problems.append(f"{name}: {error}")
            return default


def _text(value: Any) -> str:
    """As the environment would have it; TOML also has booleans and numbers."""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value).strip()
    if isinstance(value, list | dict) or not text:
        raise ValueError("a single value is wanted; set one or leave it out")
    return text


def _one_of(*values: str) -> Callable[[str], str]:
    def one_of(text: str) -> str:
        if text not in values:
            raise ValueError(f"use {' or '.join(values)}")
        return text

    return one_of


def _switch(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


def _fast_path(text: str) -> FastPath:
    return FastPath(_one_of(*FastPath)(text))


def _between(low: int, high: int) -> Callable[[str], int]:
    def between(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high):
            raise ValueError(f"use a whole number from {low} to {high}")
        return int(text)

    return between


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise ValueError(f"no file {text}; name one that exists")
    return Path(text)


def _authorities_file(text: str) -> Path:
    from audit.timestamp import authorities  # noqa: PLC0415 - most commands need no certificates

    if not authorities(_file(text)):
        raise ValueError("no certificate in the file; give the authority's, as PEM")
    return Path(text)


def _witness_key(text: str) -> str:
    from audit.checkpoint import COSIGNATURE, CheckpointError, VerifierKey  # noqa: PLC0415 - as above

    try:
        return VerifierKey.parsed(text, COSIGNATURE).text
    except CheckpointError as error:
        raise ValueError("use the witness's key for cosignature/v1 as it publishes it, name+id+base64") from error


def _client_id(text: str) -> str:
    if not _VISIBLE.fullmatch(text):
        raise ValueError("use the id that the issuer gave, at most 256 visible characters")
    return text


def _client_key_file(text: str) -> Path:
    from serving.signin import client_key  # noqa: PLC0415 - a token should not wait for an HTTP client to be loaded

    client_key(_file(text))
    return Path(text)


def _database_url(text: str) -> str:
    if not text.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
        raise ValueError("use sqlite+aiosqlite:///… or postgresql+asyncpg://…")
    return text


def _replica_url(text: str) -> str:
    """The vehicle register is reached as a database."""
    return _database_url(text)


def _web_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("use https://host[:port][/path]")
    if url.username is not None or url.password is not None:
        raise ValueError("no user or password in the URL; use the client certificate")
    return url.scheme + text[len(url.scheme) :]  # in lower case, as it is compared later


def _origin(text: str) -> str:
    if urlsplit(_web_url(text)).path not in {"", "/"}:
        raise ValueError("use https://host[:port] without a path")
    return text.rstrip("/")


def _loopback(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    bare = host.strip("[]")
    if bare != "localhost" and not _is_loopback(bare):
        raise ValueError("use a loopback address, such as 127.0.0.1:9464")
    return bare, _between(0, 65535)(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_sandbox(issuer: str) -> bool:
    url = urlsplit(issuer)
    return url.scheme != "https" or _is_loopback(url.hostname or "") or "sandbox" in issuer


def _masked(url: str | None) -> str | None:
    return url if url is None or url.startswith("sqlite") else f"{url.partition('://')[0]}://***"
