"""The sandbox's sign-in: its keys, its metadata and the tokens it signs."""

import base64
import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, KeySet

from sandbox.facts import Subject
from sandbox.issuer import Issuer, signing_key
from sandbox.personas import PersonaRecord
from sandbox.proof import _Registry, proof

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
CITIZEN = PersonaRecord("heir", Subject("a" * 26), ("CITIZEN",), None, None, "heir", "", "")
OFFICIAL = replace(CITIZEN, name="case-officer", roles=("OFFICIAL",), office="의성읍", agency="의성군")


def claims(token: str, issuer: Issuer) -> Any:
    keys = KeySet.import_key_set({"keys": [signing_key(issuer.key_file).as_dict(private=False)]})
    return jwt.decode(token, keys, algorithms=["ES256"])


def test_a_token_says_who_may_do_what_until_when(tmp_path: Path) -> None:
    issuer = Issuer("http://127.0.0.1:8100", tmp_path / "issuer.jwk")
    token = issuer.token(
        CITIZEN, audience="https://onestop.invalid", client_id="portal", acr=2, ttl=timedelta(minutes=5), now=NOW
    )
    said = claims(token, issuer)
    assert said.header == {"alg": "ES256", "typ": "at+jwt", "kid": signing_key(issuer.key_file).thumbprint()}
    jti = said.claims.pop("jti")
    assert said.claims == {
        "iss": "http://127.0.0.1:8100",
        "sub": "a" * 26,
        "aud": "https://onestop.invalid",
        "iat": 1795230000,
        "exp": 1795230300,
        "client_id": "portal",
        "acr": "urn:onestop:loa:2",
        "auth_time": 1795230000,
        "roles": ["CITIZEN"],
    }
    again = issuer.token(CITIZEN, audience="a", client_id="c", acr=2, ttl=timedelta(minutes=5), now=NOW)
    assert claims(again, issuer).claims["jti"] != jti


def test_an_officials_token_names_office_agency_and_case(tmp_path: Path) -> None:
    issuer = Issuer("http://127.0.0.1:8100", tmp_path / "issuer.jwk")
    token = issuer.token(
        OFFICIAL,
        audience="a",
        client_id="c",
        acr=3,
        ttl=timedelta(minutes=5),
        now=NOW,
        case="case-7",
        auth_time=NOW - timedelta(hours=1),
    )
    said = claims(token, issuer).claims
    assert (said["roles"], said["office"], said["agency"], said["case"]) == (["OFFICIAL"], "의성읍", "의성군", "case-7")
    assert (said["acr"], said["auth_time"], said["iat"]) == ("urn:onestop:loa:3", 1795226400, 1795230000)


def test_a_token_can_be_bound_to_a_key_that_then_proves_each_request(tmp_path: Path) -> None:
    issuer, key = Issuer("http://127.0.0.1:8100", tmp_path / "issuer.jwk"), signing_key(tmp_path / "portal.jwk")
    token = issuer.token(
        CITIZEN, audience="a", client_id="c", acr=3, ttl=timedelta(minutes=5), now=NOW, jkt=key.thumbprint()
    )
    assert claims(token, issuer).claims["cnf"] == {"jkt": key.thumbprint()}
    made = [proof(key, method="POST", url="https://a.test/graphql?q#f", token=token, now=NOW) for _ in range(2)]
    first, second = (jwt.decode(each, key, registry=_Registry(algorithms=["ES256"])) for each in made)
    jwk = first.header.pop("jwk")
    assert (first.header, ECKey.import_key(jwk).is_private) == ({"alg": "ES256", "typ": "dpop+jwt"}, False)
    assert first.claims.pop("jti") != second.claims.pop("jti")
    digest = hashlib.sha256(token.encode()).digest()
    assert first.claims == {
        "htm": "POST",
        "htu": "https://a.test/graphql",
        "iat": 1795230000,
        "ath": base64.urlsafe_b64encode(digest).decode().rstrip("="),
    }


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "issuer.jwk"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: signing_key(file), range(8)))
    assert len({key.thumbprint() for key in keys}) == 1
    assert keys[0].is_private
    assert keys[0].kid == keys[0].thumbprint()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_another_issuers_token_does_not_verify(tmp_path: Path) -> None:
    ours, theirs = (Issuer("http://127.0.0.1:8100", tmp_path / name) for name in ("ours", "theirs"))
    token = theirs.token(CITIZEN, audience="a", client_id="c", acr=1, ttl=timedelta(minutes=5), now=NOW)
    key = ECKey.import_key(signing_key(ours.key_file).as_dict(private=False))
    with pytest.raises(BadSignatureError):
        jwt.decode(token, key, algorithms=["ES256"])


def test_an_official_acts_for_a_citizen(tmp_path: Path) -> None:
    issuer = Issuer("http://127.0.0.1:8100", tmp_path / "issuer.jwk")
    token = issuer.token(
        OFFICIAL,
        audience="a",
        client_id="c",
        acr=3,
        ttl=timedelta(minutes=5),
        now=NOW,
        on_behalf_of=Subject("b" * 26),
    )
    said = claims(token, issuer).claims
    assert (said["sub"], said["act"], said["office"]) == ("b" * 26, {"sub": OFFICIAL.subject}, "의성읍")
