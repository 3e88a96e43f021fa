"""Proofs of possession (RFC 9449 §4.3): what is taken, a table of what is not, and that nothing is taken twice."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from auth.dpop import LONGEST_JTI, Shown
from auth.token import ProofUnknownError, TokenCheck, UnauthenticatedError

ISSUER, AUDIENCE = "https://issuer.test", "https://onestop.test/graphql"
NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
SUBJECT = "abcdefghijklmnopqrstuvwxyz"

ISSUERS = ECKey.generate_key("P-256", {"kid": "issuer"})
EC = ECKey.generate_key("P-256")
P384 = ECKey.generate_key("P-384")
ED = OKPKey.generate_key("Ed25519")
X = OKPKey.generate_key("X25519")
RSA = RSAKey.generate_key(2048)
RSA_4096 = RSAKey.generate_key(4096)
STRANGER = ECKey.generate_key("P-256")


class Store:
    """Proofs that were taken; can be out of reach."""

    def __init__(self) -> None:
        self.kept: dict[str, datetime] = {}
        self.down = False

    async def once(self, hash_: str, until: datetime, _now: datetime) -> bool:
        await asyncio.sleep(0)
        if self.down:
            raise OSError("no database")
        if hash_ in self.kept:
            return False
        self.kept[hash_] = until
        return True


async def published(_kid: str) -> KeySet:
    return KeySet([ISSUERS])


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def check(store: Store) -> TokenCheck:
    return TokenCheck(ISSUER, AUDIENCE, published, store.once, bearer_allowed=True)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def at(seconds: float) -> int:
    return int((NOW + timedelta(seconds=seconds)).timestamp())


def signed(header: dict[str, Any], claims: object, key: Any) -> str:
    made = {name: value for name, value in header.items() if value is not ...}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    first = f"{b64(json.dumps(made).encode())}.{b64(payload)}".encode()
    if made.get("alg") == "none":
        return f"{first.decode()}."
    return f"{first.decode()}.{b64(jws.JWSRegistry.algorithms[made['alg']].sign(first, key))}"


def token(key: Any = EC, **told: Any) -> str:
    """A good token, bound to the key; `...` takes a claim out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": SUBJECT,
        "client_id": "portal",
        "jti": "token-1",
        "iat": at(-30),
        "exp": at(300),
        "cnf": {"jkt": key.thumbprint()},
    } | told
    said = {name: value for name, value in good.items() if value is not ...}
    return signed({"alg": "ES256", "typ": "at+jwt", "kid": "issuer"}, said, ISSUERS)


TOKEN = token()


def ath(of: str) -> str:
    return b64(hashlib.sha256(of.encode()).digest())


def proof(key: Any = EC, *, of: str = TOKEN, header: dict[str, Any] | None = None, **told: Any) -> str:
    """A good proof for TOKEN; `...` takes a claim or a header member out."""
    claims = {"jti": "proof-1", "htm": "POST", "htu": AUDIENCE, "iat": at(0), "ath": ath(of)} | told
    said = {name: value for name, value in claims.items() if value is not ...}
    made = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)} | (header or {})
    return signed(made, said, key)


def shown(made: str | None, method: str = "POST", url: str = AUDIENCE) -> Shown:
    return Shown(made, method, url)


@dataclass(frozen=True, slots=True)
class Case:
    what: str
    proof: Callable[[], str]


def odd(what: str, key: Any = EC, header: dict[str, Any] | None = None, **told: Any) -> Case:
    return Case(what, lambda: proof(key, header=header, **told))


def without_point() -> dict[str, Any]:
    return {name: value for name, value in EC.as_dict(private=False).items() if name != "y"}


def hs256() -> str:
    """A MAC keyed with the public point that stands in the header."""
    header = {"alg": "HS256", "typ": "dpop+jwt", "jwk": EC.as_dict(private=False)}
    claims = {"jti": "proof-1", "htm": "POST", "htu": AUDIENCE, "iat": at(0), "ath": ath(TOKEN)}
    return signed(header, claims, OctKey.import_key({"kty": "oct", "k": str(EC["x"])}))


REFUSED = [
    odd("no algorithm", header={"alg": "none"}),
    Case("HS256 with a key of its own", lambda: proof(OctKey.generate_key(256), header={"alg": "HS256"})),
    Case("HS256 under the shown key", hs256),
    odd("RS256", key=RSA, header={"alg": "RS256"}),
    odd("ES384", key=P384, header={"alg": "ES384"}),
    odd("another typ", header={"typ": "at+jwt"}),
    odd("no typ", header={"typ": ...}),
    odd("no key", header={"jwk": ...}),
    odd("key is a text", header={"jwk": "EC"}),
    odd("key is of no kind", header={"jwk": {}}),
    odd("key's kind is a list", header={"jwk": {"kty": ["EC"]}}),
    odd("key without a coordinate", header={"jwk": without_point()}),
    odd("a point that is not on the curve", header={"jwk": EC.as_dict(private=False) | {"y": EC["x"]}}),
    odd("a private key is shown", header={"jwk": EC.as_dict(private=True)}),
    odd("a symmetric key is shown", header={"jwk": EC.as_dict(private=False) | {"k": "AAAA"}}),
    odd("a key for encryption", header={"jwk": EC.as_dict(private=False) | {"use": "enc"}}),
    odd("a key for another algorithm", header={"jwk": EC.as_dict(private=False) | {"alg": "ES384"}}),
    odd("a key for exchange", header={"jwk": X.as_dict(private=False)}),
    odd("another key shown than signed with", header={"jwk": STRANGER.as_dict(private=False)}),
    odd("a stranger's key", key=STRANGER),
    odd(
        "a small RSA key is shown", key=RSA, header={"alg": "PS256", "jwk": {"kty": "RSA", "n": "v" * 171, "e": "AQAB"}}
    ),
    odd(
        "a huge RSA key is shown", key=RSA, header={"alg": "PS256", "jwk": {"kty": "RSA", "n": "v" * 1000, "e": "AQAB"}}
    ),
    odd(
        "an RSA key whose exponent costs us", key=RSA, header={"alg": "PS256", "jwk": RSA.as_dict() | {"e": "v" * 342}}
    ),
    odd("a key URL", header={"jku": "https://evil.test/jwks"}),
    odd("a certificate", header={"x5c": ["AAAA"]}),
    odd("critical extensions", header={"crit": ["exp"], "exp": 1}),
    odd("unencoded payload", header={"b64": False, "crit": ["b64"]}),
    odd("header too large", header={"note": "x" * 2000}),
    *(odd(f"no {name}", **{name: ...}) for name in ("jti", "htm", "htu", "iat", "ath")),
    *(odd(f"{name} is null", **{name: None}) for name in ("jti", "htm", "htu", "iat", "ath")),
    odd("jti is a number", jti=1),
    odd("jti is empty", jti=""),
    odd("jti is longer than we keep", jti="x" * (LONGEST_JTI + 1)),
    odd("another method", htm="GET"),
    odd("method in small letters", htm="post"),
    odd("another path", htu="https://onestop.test/other"),
    odd("another host", htu="https://onestop.example/graphql"),
    odd("another port", htu="https://onestop.test:8443/graphql"),
    odd("another scheme", htu="http://onestop.test/graphql"),
    odd("a slash more", htu=AUDIENCE + "/"),
    odd("an escaped slash", htu="https://onestop.test%2Fgraphql"),
    odd("path in capitals", htu="https://onestop.test/GRAPHQL"),
    odd("a user in the URL", htu="https://onestop.test@evil.test/graphql"),
    odd("our host as a user", htu="https://user@onestop.test/graphql"),
    odd("a URL without host", htu="https:///graphql"),
    odd("a path alone", htu="/graphql"),
    odd("a port that is none", htu="https://onestop.test:port/graphql"),
    odd("a line break in the URL", htu="https://onestop.test/\ngraphql"),
    odd("a blank before the URL", htu=" " + AUDIENCE),
    odd("a URL in a list", htu=[AUDIENCE]),
    odd("too old", iat=at(-61)),
    odd("from the future", iat=at(11)),
    odd("iat is a text", iat=str(at(0))),
    odd("iat is a truth", iat=True),
    odd("iat in milliseconds", iat=at(0) * 1000),
    odd("for another token", ath=ath("another")),
    odd("ath padded", ath=ath(TOKEN) + "="),
    odd("ath in hexadecimal", ath=hashlib.sha256(TOKEN.encode()).hexdigest()),
    Case("claims are no JSON", lambda: signed({"alg": "ES256", "typ": "dpop+jwt", "jwk": EC.as_dict()}, b"{", EC)),
    Case("claims are a list", lambda: signed({"alg": "ES256", "typ": "dpop+jwt", "jwk": EC.as_dict()}, [], EC)),
    Case("header is a text", lambda: b64(b'"alg"') + "." + b64(b"{}") + ".AAAA"),
    Case("header is nested deeply", lambda: f"{b64(b'[' * 1500)}.{b64(b'{}')}.AAAA"),
    Case("claims changed", lambda: f"{proof().split('.')[0]}.{b64(b'{}')}.{proof().split('.')[2]}"),
    Case("signature cut", lambda: proof()[:-4]),
    Case("no signature", lambda: proof().rpartition(".")[0] + "."),
    Case("two proofs in one header", lambda: f"{proof()}, {proof(jti='proof-2')}"),
    Case("the token as its own proof", lambda: TOKEN),
    Case("not ASCII", lambda: proof() + "é"),
    Case("huge", lambda: proof(note="x" * 10_000)),
    Case("nothing but dots", lambda: ".."),
]


TAKEN = [
    odd("ES256"),
    odd("typ with its full media type", header={"typ": "application/dpop+jwt"}),
    odd("a header member that nobody knows", header={"note": "x"}),
    odd("a key with an id", header={"jwk": EC.as_dict(private=False) | {"kid": "mine", "use": "sig", "alg": "ES256"}}),
    odd("a query and a fragment", htu=AUDIENCE + "?a=b#c"),
    odd("the default port", htu="https://onestop.test:443/graphql"),
    odd("scheme and host in capitals", htu="HTTPS://ONESTOP.TEST/graphql"),
    odd("an escaped letter", htu="https://onestop.test/%67raph%71l"),
    odd("dots in the path", htu="https://onestop.test/a/.././graphql"),
    odd("almost too old", iat=at(-60)),
    odd("a clock a little ahead", iat=at(10)),
    odd("a fraction of a second", iat=at(0) + 0.5),
    odd("claims that we do not know", nonce="x", exp=1),
    odd("a long jti", jti="x" * LONGEST_JTI),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.what)
async def test_a_proof_is_refused_and_leaves_nothing(case: Case, check: TokenCheck, store: Store) -> None:
    made = case.proof()
    with pytest.raises(UnauthenticatedError) as refused:
        await check.viewer(f"DPoP {TOKEN}", NOW, shown(made))
    assert (refused.value.error, refused.value.scheme) == ("invalid_dpop_proof", "DPoP")
    assert made not in refused.value.description
    assert store.kept == {}


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.what)
async def test_a_proof_is_taken_once(case: Case, check: TokenCheck) -> None:
    made = case.proof()
    viewer = await check.viewer(f"DPoP {TOKEN}", NOW, shown(made))
    assert (viewer.person, viewer.sender_bound) == (SUBJECT, True)
    with pytest.raises(UnauthenticatedError, match="came before"):
        await check.viewer(f"DPoP {TOKEN}", NOW, shown(made))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(EC, "ES256"), (RSA, "PS256"), (RSA_4096, "PS256"), (ED, "Ed25519")],
    ids=["ES256", "PS256", "PS256 with 4096 bits", "Ed25519"],
)
async def test_keys_of_all_our_algorithms_prove(key: Any, algorithm: str, check: TokenCheck) -> None:
    bound = token(key)
    made = proof(key, of=bound, header={"alg": algorithm})
    assert (await check.viewer(f"dpop {bound}", NOW, shown(made))).sender_bound


async def test_of_many_who_send_one_proof_at_once_one_is_taken(check: TokenCheck) -> None:
    made = proof()
    told = await asyncio.gather(
        *(check.viewer(f"DPoP {TOKEN}", NOW, shown(made)) for _ in range(20)), return_exceptions=True
    )
    assert sum(not isinstance(each, BaseException) for each in told) == 1


async def test_the_same_jti_of_another_key_is_another_proof(check: TokenCheck, store: Store) -> None:
    others = token(STRANGER)
    await check.viewer(f"DPoP {TOKEN}", NOW, shown(proof()))
    await check.viewer(f"DPoP {others}", NOW, shown(proof(STRANGER, of=others)))
    assert len(store.kept) == 2


async def test_a_proof_is_remembered_for_longer_than_it_is_good(check: TokenCheck, store: Store) -> None:
    await check.viewer(f"DPoP {TOKEN}", NOW, shown(proof(iat=at(10))))
    assert set(store.kept.values()) == {NOW + timedelta(seconds=10 + 60 + 60)}


async def test_while_the_store_is_out_of_reach_no_proof_is_taken(check: TokenCheck, store: Store) -> None:
    store.down = True
    with pytest.raises(ProofUnknownError):
        await check.viewer(f"DPoP {TOKEN}", NOW, shown(proof()))


async def test_a_bound_token_is_never_taken_as_bearer_proof_or_not(check: TokenCheck) -> None:
    for beside in (None, shown(None), shown(proof())):
        with pytest.raises(UnauthenticatedError) as refused:
            await check.viewer(f"Bearer {TOKEN}", NOW, beside)
        assert (refused.value.error, refused.value.scheme) == ("invalid_token", "Bearer")


@pytest.mark.parametrize("beside", [None, shown(None), shown("")])
async def test_a_bound_token_without_a_proof_is_refused(check: TokenCheck, beside: Shown | None) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        await check.viewer(f"DPoP {TOKEN}", NOW, beside)
    assert refused.value.error == "invalid_dpop_proof"


@pytest.mark.parametrize(
    "cnf",
    [
        *(..., None, {}, [], "jkt", {"jkt": None}, {"jkt": "AAAA"}, {"jkt": "=" * 43}, {"x5t#S256": "A" * 43}),
        {"jkt": "A" * 43, "x5t#S256": "A" * 43},
        {"jwk": EC.as_dict(private=False)},
    ],
)
async def test_a_token_that_is_bound_to_no_thumbprint_is_refused_as_dpop(check: TokenCheck, cnf: object) -> None:
    odd_one = token(cnf=cnf)
    with pytest.raises(UnauthenticatedError) as refused:
        await check.viewer(f"DPoP {odd_one}", NOW, shown(proof(of=odd_one)))
    assert refused.value.error == "invalid_token"


async def test_production_takes_bound_tokens_only(store: Store) -> None:
    production = TokenCheck(ISSUER, AUDIENCE, published, store.once, bearer_allowed=False)
    assert (await production.viewer(f"DPoP {TOKEN}", NOW, shown(proof()))).sender_bound
    with pytest.raises(UnauthenticatedError):
        await production.viewer(f"Bearer {token(cnf=...)}", NOW)


async def test_the_proof_is_for_the_request_as_it_came(check: TokenCheck) -> None:
    with pytest.raises(UnauthenticatedError):
        await check.viewer(f"DPoP {TOKEN}", NOW, shown(proof(), url="https://onestop.example/graphql"))
    with pytest.raises(UnauthenticatedError):
        await check.viewer(f"DPoP {TOKEN}", NOW, shown(proof(), method="GET"))


async def test_an_open_stream_needs_no_new_proof_but_a_token_that_is_still_good(check: TokenCheck) -> None:
    assert (await check.viewer_still(f"DPoP {TOKEN}", NOW)).sender_bound
    with pytest.raises(UnauthenticatedError):
        await check.viewer_still(f"DPoP {TOKEN}", NOW + timedelta(seconds=311))
    with pytest.raises(UnauthenticatedError):
        await check.viewer_still(f"Bearer {TOKEN}", NOW)
