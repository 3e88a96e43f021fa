"""The sign-in as pages: metadata, keys, the chooser at /authorize, /token, and what is asked afterwards.

Sources: OpenID Connect Core and Discovery, RFC 8414 (metadata).
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.issuer import Issuer
from sandbox.personas import PERSONAS
from sandbox.proof import ALGORITHMS
from sandbox.signin import page, session
from sandbox.signin.clients import CODE, EXCHANGE, SCOPES, registered
from sandbox.signin.grants import LEVELS, Asked, Server, SignedIn

LARGEST_FORM: Final = 32 * 1024
_SAYABLE: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")  # what an error may quote (RFC 6749 §5.2)


def provider(
    issuer: Issuer, *, audience: str, portal_origin: str, portal_key: ECKey, now: Callable[[], datetime]
) -> Starlette:
    """Build the sign-in. Its access tokens are for `audience`."""
    server = Server(issuer, registered(portal_origin, portal_key), audience, now)
    metadata = _metadata(issuer.issuer_url)
    keys = {"keys": [issuer.key.as_dict(private=False)]}

    async def describe(_request: Request) -> JSONResponse:
        return JSONResponse(metadata)

    async def publish(_request: Request) -> JSONResponse:
        return JSONResponse(keys)

    async def authorize(request: Request) -> Response:
        asked = Asked(request.method, f"{issuer.issuer_url}/authorize", dict(request.query_params))
        try:
            given = _once(request.query_params.multi_items())
            grant = server.get_consent_grant(asked)
        except OAuth2Error as error:
            return _answer(server.handle_error_response(asked, error))
        wanted = [LEVELS[each] for each in given.get("acr_values", "").split() if each in LEVELS]
        allowed = [level for level in LEVELS.values() if level >= min(wanted, default=1)]
        if request.method == "GET":
            lang = page.language(given, request.headers.get("accept-language", ""))
            return page.chooser(given, allowed, wanted[0] if wanted else 3, lang)
        try:
            form = _once(parse_qsl(await _body(request), keep_blank_values=True))
            user = None if "cancel" in form else _chosen(form, allowed, now())
        except OAuth2Error as error:
            return _answer(server.handle_error_response(asked, error))
        return _answer(server.create_authorization_response(asked, grant_user=user, grant=grant))

    async def token(request: Request) -> Response:
        try:
            given = _once(parse_qsl(await _body(request), keep_blank_values=True))
        except OAuth2Error as error:
            return _answer(server.handle_error_response(None, error))
        proofs = request.headers.getlist("dpop")
        dpop = " ".join(proofs) if proofs else None  # several are none
        asked = Asked(request.method, f"{issuer.issuer_url}/token", given, dpop)
        return _answer(server.create_token_response(asked))

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", describe),
            Route("/.well-known/oauth-authorization-server", describe),
            Route("/jwks.json", publish),
            Route("/authorize", authorize, methods=["GET", "POST"]),
            Route("/token", token, methods=["POST"]),
            Route("/userinfo", session.userinfo(server), methods=["GET", "POST"]),
            Route("/end_session", session.end_session(server, _given, page.language), methods=["GET", "POST"]),
        ]
    )


def _metadata(issuer_url: str) -> dict[str, Any]:
    return {
        "issuer": issuer_url,
        "authorization_endpoint": f"{issuer_url}/authorize",
        "token_endpoint": f"{issuer_url}/token",
        "jwks_uri": f"{issuer_url}/jwks.json",
        "userinfo_endpoint": f"{issuer_url}/userinfo",
        "end_session_endpoint": f"{issuer_url}/end_session",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [CODE, EXCHANGE],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
        "acr_values_supported": list(LEVELS),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "nonce", "at_hash", "name"],
        "ui_locales_supported": ["ko", "en"],
        "prompt_values_supported": ["none", "login"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def _once(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    """The parameters, each at most once (RFC 6749 §3.1)."""
    given = dict(pairs)
    if len(given) != len(pairs):
        raise InvalidRequestError("A parameter is there twice.")
    for name in ("client_id", "redirect_uri", "response_type", "grant_type", "scope"):
        if not _SAYABLE.fullmatch(given.get(name, "")):
            raise InvalidRequestError(f"'{name}' has characters that it cannot have.")
    if {"request", "request_uri"} & given.keys():
        raise InvalidRequestError("Request objects are not taken.")
    return given


async def _body(request: Request) -> str:
    """A form, as text. Only one that the browser or client says to be one (RFC 6749 §4.1.3)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise InvalidRequestError("Send a form.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise InvalidRequestError("The form is too large.")
    return body.decode("utf-8", "replace")


async def _given(request: Request) -> Mapping[str, str]:
    """Of the query, or of the form that was posted."""
    if request.method == "GET":
        return _once(request.query_params.multi_items())
    return _once(parse_qsl(await _body(request), keep_blank_values=True))


def _chosen(form: Mapping[str, str], allowed: list[Any], at: datetime) -> SignedIn:
    persona, level = PERSONAS.get(form.get("persona", "")), form.get("assurance", "")
    chosen = next((each for each in allowed if str(each) == level), None)
    if persona is None or chosen is None:
        raise InvalidRequestError("Choose a persona and an assurance that the request allows.")
    return SignedIn(persona, chosen, at)


def _answer(response: Any) -> Response:
    """What Authlib hands back is what `Server.handle_response` made."""
    assert isinstance(response, Response)  # noqa: S101 - for the type only
    return response
