"""A sender-bound token over HTTP, as a person tries it with `onestop token`, `onestop proof` and curl."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

import app
from tests.journeys.client import Onestop, Reply, sent

QUESTION = {"query": "{ viewer { roles } }"}


def asked(onestop: Onestop, scheme: str, token: str, *proofs: str) -> Reply:
    said = {"Authorization": f"{scheme} {token}"}
    return sent("POST", f"{onestop.url}/graphql", QUESTION, said | {"DPoP": ", ".join(proofs)} if proofs else said)


def test_a_bound_token_is_good_with_a_fresh_proof_each_time_and_not_without(onestop: Onestop, tmp_path: Path) -> None:
    key = tmp_path / "portal.jwk"
    url = f"{onestop.url}/graphql"
    told = ["--persona", "heir", "--data", str(onestop.directory), "--dpop-key", str(key)]
    token = onestop.command("token", *told).strip()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600

    def proof(**changed: str) -> str:
        said = {"url": url, "method": "POST", "token": token} | changed
        options = [part for name, value in said.items() for part in (f"--{name}", value)]
        return onestop.command("proof", "--dpop-key", str(key), *options).strip()

    first = proof()
    assert asked(onestop, "DPoP", token, first).data["viewer"]["roles"] == ["CITIZEN"]
    assert asked(onestop, "DPoP", token, proof()).status == 200
    other = tmp_path / "other.jwk"
    refused = {
        "again": (first,),
        "none": (),
        "two": (proof(), proof()),
        "other URL": (proof(url=onestop.url),),
        "other method": (proof(method="GET"),),
        "other token": (proof(token="x"),),
        "other key": (onestop.command("proof", "--dpop-key", str(other), "--url", url, "--token", token).strip(),),
    }
    for what, proofs in refused.items():
        reply = asked(onestop, "DPoP", token, *proofs)
        assert (what, reply.status, reply.code) == (what, 401, "UNAUTHENTICATED")
        assert 'DPoP realm="onestop", error="invalid_dpop_proof"' in reply.headers["www-authenticate"]
    reply = asked(onestop, "Bearer", token, proof())
    assert (reply.status, 'error="invalid_token"' in reply.headers["www-authenticate"]) == (401, True)
    unbound = onestop.token("heir")
    assert asked(onestop, "DPoP", unbound, proof(token=unbound)).status == 401


def test_the_resource_says_how_it_is_reached(onestop: Onestop) -> None:
    found = [sent("GET", f"{onestop.url}/.well-known/oauth-protected-resource{path}") for path in ("", "/graphql")]
    assert [each.status for each in found] == [200, 200]
    assert found[0].json == found[1].json
    assert found[0].json == {
        "resource": onestop.audience,
        "authorization_servers": [onestop.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256", "PS256", "Ed25519"],
        "dpop_bound_access_tokens_required": False,
        "acr_values_supported": ["urn:onestop:loa:1", "urn:onestop:loa:2", "urn:onestop:loa:3"],
        "resource_name": "onestop",
    }


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"})])
def test_a_key_file_that_is_none_is_refused_with_a_reason(tmp_path: Path, content: str) -> None:
    key = tmp_path / "key.jwk"
    key.write_text(content)
    told = ["proof", "--dpop-key", str(key), "--url", "https://onestop.test/graphql", "--token", "x"]
    ran = CliRunner().invoke(app.main, told)
    assert (ran.exit_code, str(key) in ran.output) == (2, True)


def test_production_makes_no_proofs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONESTOP_MODE", "production")
    told = ["proof", "--dpop-key", str(tmp_path / "key"), "--url", "https://onestop.test/graphql", "--token", "x"]
    ran = CliRunner().invoke(app.main, told)
    assert (ran.exit_code, "sandbox mode only" in ran.output, list(tmp_path.iterdir())) == (1, True, [])
