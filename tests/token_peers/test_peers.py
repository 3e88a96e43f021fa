"""jose makes a hundred requests with tokens and proofs; oauth4webapi and we judge them. Our differences are listed."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import KeySet

from auth.dpop import Shown
from auth.keys import public_key
from auth.token import TokenCheck, UnauthenticatedError

HERE = Path(__file__).parent

WE_REFUSE = {
    "token without kid": "a key is found by its id only, so that rotation is unambiguous",
    "token with our own key in its header": "no key, certificate or URL from a token's header, even a right one",
    "token with a key URL": "the same",
    "token expired a little longer": "our leeway is 10 s, theirs 30 s",
    "token issued in the far future": "they do not look at iat; we take a clock that is 60 s ahead",
    "token whose subject is an address": "our issuer's subjects are 26 letters",
    "proof with a key URL": "nothing that could name another key, even unused",
    "proof whose jti is long": "at most 256 characters",
    "proof of two minutes ago": "60 s back, theirs 300 s: what is taken is remembered for as long",
    "proof a minute ahead": "10 s ahead, theirs 300 s",
    "proof the second time": "they leave replays to the resource server, which is us",
}
WE_TAKE = {
    "free token as Bearer with a proof beside it": "a proof that no token asks for proves nothing and harms nothing",
    "proof with an escaped letter": "RFC 9449 wants RFC 3986 §6.2.2 applied; WHATWG URLs leave escapes as they are",
}


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """What the peers made and said."""
    for name in ("package.json", "package-lock.json", "peers.mjs"):
        shutil.copy(HERE / name, tmp_path)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], cwd=tmp_path, check=True)
    ran = subprocess.run(["node", "peers.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(ran.stdout)


def test_the_differences_are_those_of_the_page() -> None:
    page = (HERE.parents[1] / "docs" / "decisions" / "tokens.md").read_text("utf-8")
    rows = [line.split(" | ")[:2] for line in page.partition("oauth4webapi judges otherwise")[2].splitlines()]
    listed = {cells[0].removeprefix("| "): cells[1] for cells in rows if len(cells) == 2 and cells[0] != "| request"}
    assert listed == dict.fromkeys(WE_REFUSE, "refused") | dict.fromkeys(WE_TAKE, "taken")


async def test_oauth4webapi_and_we_judge_alike_but_for_what_is_listed(told: Any) -> None:
    taken: set[str] = set()

    async def keys(_kid: str) -> KeySet:
        return KeySet([public_key(key) for key in told["jwks"]["keys"]])

    async def once(hash_: str, _until: datetime, _now: datetime) -> bool:
        first = hash_ not in taken
        taken.add(hash_)
        return first

    check = TokenCheck("https://issuer.test", "https://onestop.test/graphql", keys, once, bearer_allowed=True)
    now = datetime.fromtimestamp(told["now"], UTC)
    differ: dict[str, bool] = {}
    for each in told["judged"]:
        beside = Shown(each["dpop"], each["method"], each["url"].partition("?")[0])
        try:
            await check.viewer(each["authorization"], now, beside)
        except UnauthenticatedError:
            ours = False
        else:
            ours = True
        if ours is not each["taken"]:
            differ[each["name"]] = ours
    names = [each["name"] for each in told["judged"]]
    assert len(names) == len(set(names)) >= 90
    assert sum(each["taken"] for each in told["judged"]) >= 25
    assert differ == dict.fromkeys(WE_REFUSE, False) | dict.fromkeys(WE_TAKE, True)
