"""Settings: what may be set, what is said when it is wrong, and what production refuses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from serving.program import Wiring, _resource
from serving.settings import (
    AGENCIES,
    NAMES,
    SECRETS,
    Settings,
    SettingsError,
    limits_in_force,
    problems,
    shown,
)

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def faults(environ: dict[str, str], toml: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ, toml)
    return str(caught.value)


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "own.key"
    path.write_text("a key")
    return str(path)


@pytest.fixture
def production(key: str) -> dict[str, str]:
    """Settings that production takes."""
    return {
        "ONESTOP_MODE": "production",
        "ONESTOP_LOG_SIGNING_KEY_FILE": key,
        "ONESTOP_ID_KEY_FILE": key,
        "ONESTOP_ISSUER": "https://login.example",
        "ONESTOP_AUDIENCE": "https://api.example",
        **{f"ONESTOP_{agency}_URL": f"https://{agency.lower()}.example/v1" for agency in AGENCIES},
        "ONESTOP_VEHICLES_URL": "postgresql+asyncpg://reader:secret@replica/vehicles",
    }


def test_nothing_set_is_the_sandbox() -> None:
    settings = Settings.load({"PATH": "/bin"})
    assert settings == Settings()
    assert problems(settings, 8) == []
    assert (settings.deadline_ms, settings.agencies["LAND"].timeout_ms) == (8000, 2500)


def test_a_file_may_set_everything_and_the_environment_wins(tmp_path: Path) -> None:
    toml = tmp_path / "onestop.toml"
    toml.write_text("ONESTOP_DEADLINE_MS = 5000\nONESTOP_TRUSTED_DOCUMENTS = true\nONESTOP_TAX_TIMEOUT_MS = 900\n")
    settings = Settings.load({"ONESTOP_CONFIG": str(toml), "ONESTOP_DEADLINE_MS": "6000"})
    assert (settings.deadline_ms, settings.trusted_documents, settings.agencies["TAX"].timeout_ms) == (6000, True, 900)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("ONESTOP_MODE", "prod", "sandbox or production"),
        ("ONESTOP_DATABASE_URL", "mysql://root:hunter2@db/x", "use sqlite+aiosqlite:///"),
        ("ONESTOP_DEADLINE_MS", "8s", "use a whole number"),
        ("ONESTOP_DEADLINE_MS", "0", "use a whole number"),
        ("ONESTOP_DEADLINE_MS", "９", "use a whole number"),
        ("ONESTOP_DEADLINE_MS", "", "set one or leave it out"),
        ("ONESTOP_LAND_TIMEOUT_MS", "-1", "use a whole number"),
        ("ONESTOP_LAND_URL", "land.example", "use https://"),
        ("ONESTOP_LAND_URL", "https://me:hunter2@land.example", "client certificate"),
        ("ONESTOP_LAND_URL", "https://[", "IPv6"),
        ("ONESTOP_ORIGIN", "https://a.example/graphql", "without a path"),
        ("ONESTOP_LAND_CA_FILE", "/nowhere/ca.pem", "name one that exists"),
        ("ONESTOP_LAND_CLIENT_CERT_FILE", __file__, "CLIENT_KEY_FILE: missing"),
        ("ONESTOP_PORTAL_CLIENT_ID", "portal", "ONESTOP_PORTAL_KEY_FILE: missing"),
        ("ONESTOP_PORTAL_CLIENT_ID", "our portal", "visible characters"),
        ("ONESTOP_PORTAL_KEY_FILE", __file__, "a private key as JWK or PEM"),
        ("ONESTOP_PORTAL_KEY_FILE", "/nowhere/key", "name one that exists"),
        ("ONESTOP_PORTAL_REDIRECT_URI", "https://onestop.example/session/callback", "set ONESTOP_PORTAL_CLIENT_ID"),
        ("ONESTOP_TRUSTED_DOCUMENTS", "yes", "on or off"),
        ("ONESTOP_FAST_PATH", "fast", "on or selections or off"),
        ("ONESTOP_ADMIN_LISTEN", "0.0.0.0:9464", "loopback"),
        ("ONESTOP_ADMIN_LISTEN", "127.0.0.1", "loopback"),
        ("ONESTOP_IN_FLIGHT", "0", "use a whole number"),
        ("ONESTOP_DEADLIN_MS", "8000", "did you mean ONESTOP_DEADLINE_MS"),
        ("ONESTOP_ZZZZZZ", "1", "no such setting"),
        ("ONESTOP_CONFIG", "/nowhere/onestop.toml", "name a file that exists"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy_and_never_with_a_secret(name: str, value: str, remedy: str) -> None:
    said = faults({name: value})
    assert name.removesuffix("CERT_FILE") in said
    assert remedy in said
    assert "hunter2" not in said


@pytest.fixture
def portal(tmp_path: Path) -> dict[str, str]:
    """A client for the portal."""
    path = tmp_path / "portal.pem"
    path.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    return {"ONESTOP_PORTAL_CLIENT_ID": "portal", "ONESTOP_PORTAL_KEY_FILE": str(path)}


def test_production_takes_a_client_for_the_portal(production: dict[str, str], portal: dict[str, str]) -> None:
    back = {"ONESTOP_PORTAL_REDIRECT_URI": "https://api.example/session/back-1"}
    for given in ({**production, **portal}, {**production, **portal, **back}):
        settings = Settings.load(given)
        assert problems(settings, 1) == []
        assert {name: str(value) for name, value in shown(settings).items() if name in {**portal, **back}} == {
            "ONESTOP_PORTAL_REDIRECT_URI": "None",
            **{name: value for name, value in given.items() if "PORTAL" in name},
        }


def test_a_client_for_the_portal_is_one_of_a_real_issuer(portal: dict[str, str]) -> None:
    assert "ONESTOP_ISSUER: missing" in faults(portal)
    assert "ONESTOP_PORTAL_CLIENT_ID: missing" in faults({"ONESTOP_PORTAL_KEY_FILE": portal["ONESTOP_PORTAL_KEY_FILE"]})


@pytest.mark.parametrize(
    "back",
    [
        "https://elsewhere.example/session/callback",
        "http://api.example/session/callback",
        "https://api.example:8443/session/callback",
        "https://api.example/graphql",
        "https://api.example/session/login",
        "https://api.example/session/logout",
        "https://api.example/session/",
        "https://api.example/session/a/../b",
        "https://api.example",
    ],
)
def test_browsers_come_back_to_a_place_of_ours(production: dict[str, str], portal: dict[str, str], back: str) -> None:
    said = faults({**production, **portal, "ONESTOP_PORTAL_REDIRECT_URI": back})
    assert "ONESTOP_PORTAL_REDIRECT_URI: use ONESTOP_ORIGIN" in said


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    toml = tmp_path / "onestop.toml"
    toml.write_text('ONESTOP_MODE = ["sandbox"]\nmode = "sandbox"\n')
    assert len(faults({"ONESTOP_DEADLINE_MS": "soon"}, toml).splitlines()) == 3
    toml.write_text("not toml at all")
    assert "is no TOML" in faults({}, toml)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file_but_not_twice(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql+asyncpg://me:hunter2@db/onestop\n")
    settings = Settings.load({f"{name}_FILE": str(secret)})
    assert "hunter2" not in repr(settings)
    assert shown(settings)[name] == "postgresql+asyncpg://***"
    assert "set twice" in faults({f"{name}_FILE": str(secret), name: "sqlite+aiosqlite:///x"})
    assert "name one that exists" in faults({f"{name}_FILE": str(tmp_path / "none")})


def test_what_is_shown_can_be_set_again(production: dict[str, str]) -> None:
    settings = Settings.load(production)
    again = {
        name: str(value) for name, value in shown(settings).items() if value is not None and "***" not in str(value)
    }
    assert Settings.load({**again, "ONESTOP_VEHICLES_URL": production["ONESTOP_VEHICLES_URL"]}) == settings


def test_production_takes_proper_settings(production: dict[str, str]) -> None:
    settings = Settings.load(production)
    assert problems(settings, 1) == []
    assert settings.trusted_documents
    assert not settings.introspection


@pytest.mark.parametrize(
    ("changed", "workers", "refused"),
    [
        ({"ONESTOP_LOG_SIGNING_KEY_FILE": None}, 1, "ONESTOP_LOG_SIGNING_KEY_FILE: sandbox keys"),
        ({"ONESTOP_ID_KEY_FILE": "SANDBOX"}, 1, "ONESTOP_ID_KEY_FILE: sandbox keys"),
        ({"ONESTOP_ISSUER": None}, 1, "ONESTOP_ISSUER"),
        ({"ONESTOP_ISSUER": "http://login.example"}, 1, "ONESTOP_ISSUER"),
        ({"ONESTOP_ISSUER": "https://localhost:8100"}, 1, "ONESTOP_ISSUER"),
        ({"ONESTOP_AUDIENCE": None}, 1, "ONESTOP_AUDIENCE"),
        ({"ONESTOP_AUDIENCE": "onestop"}, 1, "ONESTOP_ORIGIN"),
        ({"ONESTOP_AUDIENCE": "http://api.example"}, 1, "ONESTOP_ORIGIN"),
        ({"ONESTOP_ORIGIN": "http://onestop.example"}, 1, "ONESTOP_ORIGIN"),
        ({"ONESTOP_TAX_URL": "http://tax.example"}, 1, "ONESTOP_TAX_URL: plain http"),
        ({"ONESTOP_TAX_URL": "HTTP://tax.example"}, 1, "ONESTOP_TAX_URL: plain http"),
        ({"ONESTOP_VEHICLES_URL": "sqlite+aiosqlite:///v.db"}, 1, "ONESTOP_VEHICLES_URL: SQLite"),
        ({"ONESTOP_INTROSPECTION": "on"}, 1, "ONESTOP_INTROSPECTION"),
        ({"ONESTOP_DATABASE_URL": "postgresql+asyncpg://db/x"}, 2, "ONESTOP_LOG_URL: SQLite"),
        ({"ONESTOP_LOG_URL": "postgresql+asyncpg://db/x"}, 2, "ONESTOP_DATABASE_URL: SQLite"),
    ],
)
def test_production_refuses_what_is_not_safe_and_says_which(
    production: dict[str, str], tmp_path: Path, changed: dict[str, str | None], workers: int, refused: str
) -> None:
    sandbox_key = tmp_path / "sandbox.key"
    sandbox_key.write_text('{"kid": "onestop-sandbox-1"}')
    values = {**production, **{n: str(sandbox_key) if v == "SANDBOX" else v for n, v in changed.items()}}
    [said] = problems(Settings.load({name: value for name, value in values.items() if value is not None}), workers)
    assert said.startswith(refused)


def test_the_limits_in_force_are_those_set() -> None:
    limits = limits_in_force(Settings.load({"ONESTOP_IN_FLIGHT": "9", "ONESTOP_LAND_TIMEOUT_MS": "700"}))
    assert (limits["in_flight"], limits["agency_timeout_ms"]["LAND"], limits["body_bytes"]) == (9, 700, 100_000)


def test_the_settings_and_their_page_are_the_same() -> None:
    listed = re.findall(r"^\| `(ONESTOP_[A-Z_<>]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = [each for name in listed for each in expanded(name)]
    assert sorted(names) == sorted(NAMES)


def expanded(name: str) -> list[str]:
    return [name.replace("<AGENCY>", agency) for agency in AGENCIES] if "<AGENCY>" in name else [name]


@pytest.mark.parametrize(
    ("changed", "origin"),
    [
        ({}, "https://api.example"),
        ({"ONESTOP_AUDIENCE": "https://api.example:8443/graphql"}, "https://api.example:8443"),
        ({"ONESTOP_ORIGIN": "https://onestop.example/"}, "https://onestop.example"),
        ({"ONESTOP_MODE": "sandbox"}, None),
    ],
)
def test_production_knows_its_name_without_asking_the_request(
    production: dict[str, str], changed: dict[str, str], origin: str | None
) -> None:
    assert Settings.load({**production, **changed}).known_origin == origin


async def test_what_production_says_of_itself_wants_bound_tokens(production: dict[str, str]) -> None:
    nowhere: Any = None
    wiring = Wiring(
        Settings.load(production), "", "", b"", (), nowhere, nowhere, "https://login.example", "https://onestop.example/graphql",
        {}, "", None,
    )  # fmt: skip
    said = json.loads(bytes((await _resource(wiring)(nowhere)).body))
    assert said["dpop_bound_access_tokens_required"] is True
    assert said["resource"] == "https://onestop.example/graphql"


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8100", "https://127.0.0.1", "https://sign-in.sandbox.invalid"])
def test_production_does_not_take_the_sandboxs_tokens(issuer: str) -> None:
    its = Settings.load({"ONESTOP_MODE": "production", "ONESTOP_ISSUER": issuer})
    assert any(each.startswith("ONESTOP_ISSUER: the sandbox signs anybody in") for each in problems(its, 1))
