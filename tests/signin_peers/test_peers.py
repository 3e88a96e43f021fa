"""A client that nobody here wrote, openid-client, signs in at the sandbox's issuer."""

import asyncio
import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

from sandbox.personas import PERSONAS
from sandbox.server import Sandbox

HERE = Path(__file__).parent
ORIGIN = "http://127.0.0.1:8000"


async def test_openid_client_signs_in_as_an_app_and_as_the_portal(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", "peer.mjs"):
        shutil.copy(HERE / name, tmp_path)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    assert await (await asyncio.create_subprocess_exec(*install, cwd=tmp_path)).wait() == 0
    state = tmp_path / "state"
    sandbox = Sandbox(
        directory=state,
        today=date(2026, 11, 21),
        now=lambda: datetime.now(UTC),
        people=0,
        portal_origin=ORIGIN,
    )
    async with sandbox as running:
        issuer = running.endpoints.issuer
        peer = await asyncio.create_subprocess_exec(
            "node", "peer.mjs", issuer, f"{ORIGIN}/session/callback", str(state / "portal.jwk"),
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await peer.communicate()
    told = [json.loads(line) for line in out.splitlines()]
    assert [each["client"] for each in told] == ["sandbox-app", "sandbox-portal"], err
    for each in told:
        claims = each["claims"]
        assert (claims["iss"], claims["aud"]) == (issuer, each["client"])
        assert (claims["sub"], claims["acr"]) == (PERSONAS["heir"].subject, "urn:onestop:loa:3")
        assert each["person"] == {"sub": claims["sub"], "name": claims["name"]}
        assert (each["expiresIn"], each["again"], each["revoked"]) == (3600, "invalid_grant", 401)
    app, portal = told
    assert (app["kind"], app["status"], app["location"]) == ("bearer", 200, None)
    assert (portal["kind"], portal["status"], portal["location"]) == ("dpop", 303, f"{ORIGIN}/?state=STATE")
