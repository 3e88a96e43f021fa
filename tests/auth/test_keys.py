"""The issuer's keys: one refresh at a time and seldom, an hour's outage borne, nothing taken that is no public key."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from auth.keys import BETWEEN_S, FRESH_S, LONGEST_S, MOST_KEYS, IssuerKeys

ISSUER = "https://issuer.test"
KEY = ECKey.generate_key("P-256", {"kid": "first"})
SECOND = ECKey.generate_key("P-256", {"kid": "second"})


class Internet:
    """What the issuer serves; counts who asks. Its clock goes when it is told to."""

    def __init__(self) -> None:
        self.metadata: Any = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks.json"}
        self.keys: Any = {"keys": [KEY.as_dict(private=False)]}
        self.down = False
        self.fetched: list[str] = []
        self.now_s = 1000.0

    async def get(self, url: str) -> bytes:
        self.fetched.append(url)
        await asyncio.sleep(0)
        if self.down:
            raise OSError(503)
        return json.dumps(self.metadata if url.endswith("openid-configuration") else self.keys).encode()

    @property
    def refreshes(self) -> int:
        return sum(url.endswith("openid-configuration") for url in self.fetched)


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def keys(internet: Internet) -> IssuerKeys:
    return IssuerKeys(ISSUER, internet.get, lambda: internet.now_s)


def kids(found: Any) -> list[str]:
    return [key.kid for key in found.keys]


async def test_a_known_key_is_fetched_once(keys: IssuerKeys, internet: Internet) -> None:
    for _ in range(5):
        assert kids(await keys("first")) == ["first"]
    assert internet.refreshes == 1
    assert internet.fetched == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/jwks.json"]


async def test_many_who_come_at_once_wait_for_one_refresh(keys: IssuerKeys, internet: Internet) -> None:
    found = await asyncio.gather(*(keys("first") for _ in range(50)))
    assert all(kids(each) == ["first"] for each in found)
    assert internet.refreshes == 1


async def test_a_new_key_is_found_by_the_first_token_that_names_it(keys: IssuerKeys, internet: Internet) -> None:
    await keys("first")
    internet.keys["keys"].append(SECOND.as_dict(private=False))
    internet.now_s += BETWEEN_S
    assert "second" in kids(await keys("second"))
    assert internet.refreshes == 2


async def test_made_up_key_ids_make_one_refresh_in_thirty_seconds_however_many_come(
    keys: IssuerKeys, internet: Internet
) -> None:
    await keys("first")
    internet.now_s += BETWEEN_S
    await asyncio.gather(*(keys(f"made up {number}") for number in range(50)))
    for number in range(50):
        await keys(f"made up, too, {number}")
    assert internet.refreshes == 2
    internet.now_s += BETWEEN_S - 1
    await keys("made up again")
    assert internet.refreshes == 2
    internet.now_s += 1
    await keys("made up at last")
    assert internet.refreshes == 3


async def test_made_up_key_ids_do_not_hammer_an_issuer_that_has_never_answered(
    keys: IssuerKeys, internet: Internet
) -> None:
    internet.down = True
    await asyncio.gather(*(keys(f"made up {number}") for number in range(50)))
    assert internet.refreshes <= 2


async def test_keys_are_refreshed_after_ten_minutes(keys: IssuerKeys, internet: Internet) -> None:
    await keys("first")
    internet.keys = {"keys": [SECOND.as_dict(private=False)]}
    internet.now_s += FRESH_S - 1
    assert kids(await keys("first")) == ["first"]
    internet.now_s += 1
    assert kids(await keys("first")) == ["second"]


async def test_an_outage_is_borne_for_an_hour_and_no_longer(keys: IssuerKeys, internet: Internet) -> None:
    await keys("first")
    internet.down = True
    internet.now_s += LONGEST_S - 1
    assert kids(await keys("first")) == ["first"]
    internet.now_s += 1
    assert kids(await keys("first")) == []
    assert not await keys.healthy()
    internet.down = False
    internet.now_s += BETWEEN_S
    assert kids(await keys("first")) == ["first"]
    assert await keys.healthy()


async def test_readiness_asks_for_keys_by_itself(keys: IssuerKeys, internet: Internet) -> None:
    assert await keys.healthy()
    assert internet.refreshes == 1


@pytest.mark.parametrize("issuer", ["https://other.test", ISSUER + "/", ISSUER.upper(), None, 1])
async def test_metadata_of_another_issuer_gives_no_keys(keys: IssuerKeys, internet: Internet, issuer: Any) -> None:
    internet.metadata["issuer"] = issuer
    assert kids(await keys("first")) == []
    assert internet.fetched == [f"{ISSUER}/.well-known/openid-configuration"]


async def test_who_comes_with_a_known_key_does_not_wait_for_the_refresh_of_another(internet: Internet) -> None:
    slow = asyncio.Event()
    slow.set()

    async def get(url: str) -> bytes:
        await slow.wait()
        return await internet.get(url)

    keys = IssuerKeys(ISSUER, get, lambda: internet.now_s)
    await keys("first")
    slow.clear()
    internet.now_s += FRESH_S
    refreshing = asyncio.create_task(keys("first"))
    await asyncio.sleep(0)
    assert kids(await asyncio.wait_for(keys("first"), 5)) == ["first"]
    slow.set()
    assert kids(await refreshing) == ["first"]


@pytest.mark.parametrize("uri", ["http://issuer.test/jwks.json", "file:///etc/passwd", "jwks.json", "", 7, None, []])
async def test_keys_are_fetched_the_way_the_issuer_is(keys: IssuerKeys, internet: Internet, uri: Any) -> None:
    internet.metadata["jwks_uri"] = uri
    assert kids(await keys("first")) == []
    assert internet.refreshes == len(internet.fetched) == 1


async def test_metadata_that_is_nested_deeply_is_none(internet: Internet) -> None:
    async def get(url: str) -> bytes:
        return b"[" * 60_000 if url.endswith("configuration") else await internet.get(url)

    assert kids(await IssuerKeys(ISSUER, get, lambda: internet.now_s)("first")) == []


@pytest.mark.parametrize(
    "unwanted",
    [
        {"kty": "RSA", "n": "v" * 171, "e": "AQAB"},
        {"kty": "RSA", "n": "v" * 5000, "e": "AQAB"},
        {"kty": "RSA", "n": "v" * 342, "e": "v" * 342},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": ["RSA"], "n": "v" * 342, "e": "AQAB"},
        ECKey.generate_key("P-384").as_dict(private=False),
    ],
    ids=["1024 bits", "30000 bits", "large exponent", "number", "list", "P-384"],
)
async def test_keys_that_no_algorithm_of_ours_should_use_are_left_out(
    keys: IssuerKeys, internet: Internet, unwanted: dict[str, Any]
) -> None:
    internet.keys["keys"].append(unwanted | {"kid": "unwanted"})
    assert kids(await keys("first")) == ["first"]


async def test_no_more_than_so_many_keys_are_taken(keys: IssuerKeys, internet: Internet) -> None:
    made = KEY.as_dict(private=False)
    internet.keys = {"keys": [made | {"kid": f"key {number}"} for number in range(MOST_KEYS + 5)]}
    assert len(kids(await keys("key 0"))) == MOST_KEYS


async def test_private_parts_do_not_stay_in_our_memory(keys: IssuerKeys, internet: Internet) -> None:
    rsa = RSAKey.generate_key(2048, {"kid": "rsa"})
    internet.keys = {"keys": [KEY.as_dict(private=True), rsa.as_dict(private=True)]}
    found = await keys("first")
    assert kids(found) == ["first", "rsa"]
    assert not any(key.is_private for key in found.keys)


def _symmetric(key: dict[str, Any]) -> dict[str, Any]:
    return OctKey.generate_key(256, {"kid": "first"}).as_dict(private=True) | {"use": key.get("use", "sig")}


@pytest.mark.parametrize(
    "made",
    [
        _symmetric,
        lambda key: key | {"use": "enc"},
        lambda key: {name: value for name, value in key.items() if name != "kid"},
        lambda key: key | {"kid": 7},
    ],
    ids=["symmetric", "for encryption", "without id", "id is a number"],
)
async def test_only_public_signing_keys_with_an_id_are_taken(
    keys: IssuerKeys, internet: Internet, made: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    internet.keys = {"keys": [made(KEY.as_dict(private=False)), SECOND.as_dict(private=False)]}
    assert kids(await keys("second")) == ["second"]


@pytest.mark.parametrize(
    "unknown",
    [
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "unknown"},
        {"kty": "OKP", "crv": "X448", "x": "AA", "kid": "unknown"},
        {"kty": "RSA", "kid": "unknown"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "unknown"},
        {"kty": 1, "kid": "unknown"},
        "not a key",
        None,
    ],
    ids=["curve", "broken", "incomplete", "kind", "kind is a number", "text", "null"],
)
async def test_a_key_that_we_do_not_understand_takes_no_other_with_it(
    keys: IssuerKeys, internet: Internet, unknown: Any
) -> None:
    # RFC 7517, section 5: what is not understood is ignored.
    internet.keys = {"keys": [unknown, KEY.as_dict(private=False)]}
    assert kids(await keys("first")) == ["first"]


@pytest.mark.parametrize("published", [None, [], "keys", {"keys": None}, {"keys": {}}, {"keys": "text"}, {}, 1])
async def test_a_key_page_that_is_none_leaves_the_keys_as_they_were(
    keys: IssuerKeys, internet: Internet, published: Any
) -> None:
    await keys("first")
    internet.keys = published
    internet.now_s += FRESH_S
    assert kids(await keys("first")) == ["first"]
    assert internet.refreshes == 2


@pytest.mark.parametrize("metadata", [None, [], "text", {}, {"issuer": ISSUER}, {"issuer": ISSUER, "jwks_uri": None}])
async def test_metadata_that_is_none_gives_no_keys_and_raises_nothing(internet: Internet, metadata: Any) -> None:
    async def get(url: str) -> bytes:
        if not isinstance(url, str):
            raise TypeError(url)
        return await internet.get(url)

    internet.metadata = metadata
    assert kids(await IssuerKeys(ISSUER, get, lambda: internet.now_s)("first")) == []
