"""What one may ask after a sign-in: who it was (`/userinfo`), and to be signed out (`/end_session`).

Sources: OpenID Connect Core §5.3, OpenID Connect RP-Initiated Logout 1.0, RFC 6750 §3 and RFC 9449 §7.1 (refusals).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

from authlib.oauth2.rfc6749 import InvalidRequestError
from joserfc import jwt
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from sandbox.personas import PERSONAS
from sandbox.proof import ProofError
from sandbox.signin.grants import Server, called

_KEPT: Final = {"Cache-Control": "no-store"}
_SAYABLE: Final = re.compile(r"[\x21-\x7e]{1,2048}")
_PAGE: Final = """<!DOCTYPE html>
<html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title></head><body><main><h1>{title}</h1></main></body>
</html>"""
_SIGNED_OUT: Final = {"ko": "로그아웃했습니다", "en": "You are signed out"}

Given = Callable[[Request], Awaitable[Mapping[str, str]]]
"""The parameters of a request, in its query or its form; raises `InvalidRequestError`."""


def userinfo(server: Server) -> Callable[[Request], Awaitable[Response]]:
    """Who has signed in, for whoever has the access token (and the key that it is bound to)."""

    async def told(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            claims = server.own(token)
        except (JoseError, ValueError):
            return _refused("invalid_token" if token else None)
        bound = claims.get("cnf", {}).get("jkt")
        if scheme.lower() != ("dpop" if bound else "bearer"):
            return _refused("invalid_token")
        if bound:
            url, sent = f"{server.issuer.issuer_url}/userinfo", request.headers.getlist("dpop")
            try:
                proved = server.proofs.thumbprint(
                    "".join(sent), method=request.method, url=url, now=server.now(), token=token
                )
            except ProofError:
                return _refused("invalid_dpop_proof")
            if proved != bound:
                return _refused("invalid_dpop_proof")
        scopes = claims.get("scope", "").split()
        persona = next((each for each in PERSONAS.values() if each.subject == claims["sub"]), None)
        if persona is None or "openid" not in scopes:
            return _refused("insufficient_scope", 403)
        named = {"name": called(persona)} if "profile" in scopes else {}
        return JSONResponse({"sub": persona.subject, **named}, headers=_KEPT)

    return told


def _refused(error: str | None, status: int = 401) -> Response:
    said = f' error="{error}"' if error else ""
    return Response(status_code=status, headers={**_KEPT, "WWW-Authenticate": f'DPoP{said} algs="ES256", Bearer{said}'})


def end_session(
    server: Server, given: Given, language: Callable[[Mapping[str, str], str], str]
) -> Callable[[Request], Awaitable[Response]]:
    """Back to the client, or a page that says so. Nobody stays signed in here, so there is nothing else to end."""

    async def ended(request: Request) -> Response:
        try:
            said = await given(request)
            back = _back(server, said)
        except InvalidRequestError as wrong:
            return JSONResponse(dict(wrong.get_body()), 400, _KEPT)
        if back is None:
            lang = language(said, request.headers.get("accept-language", ""))
            headers = {**_KEPT, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
            return HTMLResponse(_PAGE.format(lang=lang, title=escape(_SIGNED_OUT[lang])), headers=headers)
        state = f"?{urlencode({'state': said['state']})}" if said.get("state") else ""
        return RedirectResponse(f"{back}{state}", 303, _KEPT)

    return ended


def _back(server: Server, said: Mapping[str, str]) -> str | None:
    """Where the client wants the browser to be sent, if it is one of its places. None when it does not say."""
    hinted = _whose(server, said["id_token_hint"]) if said.get("id_token_hint") else None
    named = said.get("client_id") or hinted
    if hinted is not None and named != hinted:
        raise InvalidRequestError("'client_id' is not whom the ID token is for.")
    back = said.get("post_logout_redirect_uri")
    if not back:
        return None
    client = server.query_client(named or "")
    if client is None or not _SAYABLE.fullmatch(back) or back not in client.after_logout:
        raise InvalidRequestError("'post_logout_redirect_uri' is not one of the client's.")
    return back


def _whose(server: Server, hint: str) -> str:
    """The client of an ID token of ours, however old (RP-Initiated Logout §2)."""
    try:
        read: Any = jwt.decode(hint, server.issuer.key, algorithms=["ES256"])
    except (JoseError, ValueError) as wrong:
        raise InvalidRequestError("'id_token_hint' is no ID token of ours.") from wrong
    if read.header.get("typ", "JWT") != "JWT" or not isinstance(read.claims.get("aud"), str):
        raise InvalidRequestError("'id_token_hint' is no ID token of ours.")
    return str(read.claims["aud"])
