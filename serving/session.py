"""The portal's session: a browser has an opaque cookie, and the tokens stay here (backend for frontend).

Sources: OAuth 2.0 for Browser-Based Applications §6.1, RFC 6265bis (`__Host-`), Fetch Metadata Request Headers.
Its tokens are bound to a key that each session has of its own (RFC 9449): GraphQL asked with the cookie goes on with
token and proof, through the same door as everybody's. A session ends after 15 minutes without a question, after 8
hours, with its access token, and at once by signing out. Each sign-in and step-up begins a new one. What is kept is
sealed under a key that our root and the cookie make together.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import ECKey
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cases.sessions import SessionRecord, Sessions
from schema.viewer import Assurance
from serving.endpoint import GRAPHQL, JSON, caller_uuid, error, negotiated
from serving.possession import proof
from serving.signin import Attempt, DeniedError, IssuerUnavailableError, RelyingParty, SignInError

T = TypeVar("T")

COOKIE: Final = "__Host-onestop"
ATTEMPT_COOKIE: Final = "__Host-onestop-signin"
LOGIN: Final = "/session/login"
LOGOUT: Final = "/session/logout"
CALLBACK: Final = "/session/callback"
CSRF: Final = "x-onestop-csrf"
IDLE: Final = timedelta(minutes=15)
ABSOLUTE: Final = timedelta(hours=8)
ATTEMPT_LASTS: Final = timedelta(minutes=10)
NOTED_EVERY: Final = timedelta(minutes=1)
"""How often a session's use is written down. It ends that much early at most."""

_LOCAL: Final = re.compile(r"/(?!/)[\x21-\x5b\x5d-\x7e]{0,2000}")  # no host, no backslash, nothing a browser drops
_COOKIE: Final[Mapping[str, Any]] = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}


class Kept(msgspec.Struct, frozen=True):
    """What a session holds, sealed."""

    access_token: str
    key: dict[str, str | list[str]]
    until: datetime
    assurance: Assurance
    name: str | None


@dataclass(frozen=True, slots=True)
class Session:
    """One that lasts, and until when if nothing is asked."""

    record: SessionRecord
    kept: Kept

    @property
    def until(self) -> datetime:
        return min(self.record.last_used_at + IDLE, self.record.created_at + ABSOLUTE, self.kept.until)


class BrowserSessions:
    """Sign-in, sign-out, who is signed in, and GraphQL asked with the cookie."""

    def __init__(
        self,
        issuer: RelyingParty,
        sessions: Sessions,
        id_root: bytes,
        origin: str,
        clock: Callable[[], datetime],
        callback: str = CALLBACK,
    ) -> None:
        self._issuer = issuer
        self._sessions = sessions
        self._key = hashlib.sha256(b"onestop/session/1" + id_root).digest()
        self._origin = origin
        self._clock = clock
        self._callback_path = callback

    def routes(self) -> list[Route]:
        return [
            Route(LOGIN, self._login),
            Route(self._callback_path, self._callback),
            Route(LOGOUT, self._logout, methods=["POST"]),
            Route("/session", self._who),
        ]

    def guarded(self, endpoint: ASGIApp, origin: str | None = None) -> ASGIApp:
        """The endpoint, which then takes the cookie for a token; `origin` is what it takes itself to be called."""
        return _Guarded(self, endpoint, origin)

    async def session(self, cookie: str | None) -> Session | None:
        """The session of a cookie, if it lasts."""
        if cookie is None or not (record := await self._sessions.find(_hash(cookie))):
            return None
        kept = _opened(self._key_with(cookie), record.kept, record.id_hash, Kept)
        session = kept and Session(record, kept)
        return session if session and self._clock() < session.until else None

    def proof(self, session: Session, method: str, url: str) -> str:
        """That the session holds its key, for one request that it is used for."""
        key = ECKey.import_key(session.kept.key)
        return proof(key, method, url, self._clock(), token=session.kept.access_token)

    async def in_use(self, session: Session) -> None:
        """Put off the end of a session that somebody uses."""
        now = self._clock()
        if now - session.record.last_used_at >= NOTED_EVERY:
            await self._sessions.use(session.record.id_hash, now)

    async def _login(self, request: Request) -> Response:
        """Send the browser to the issuer. `acr` and `max_age` step up, `return` is where to come back to."""
        here = urlsplit(self._origin)
        if request.url.hostname == "localhost" and here.hostname == "127.0.0.1":
            # One machine by two names, and cookies by name: the answer will come to the other one.
            return RedirectResponse(f"{self._origin}{LOGIN}?{request.url.query}", 303)
        given = request.query_params
        back, acr, max_age = given.get("return", "/"), given.get("acr"), given.get("max_age")
        if not _LOCAL.fullmatch(back):
            return _bad("return", "a path here, such as /cases")
        if acr is not None and acr.upper() not in Assurance.__members__:
            return _bad("acr", "low, substantial or high")
        if max_age is not None and not (max_age.isascii() and max_age.isdecimal() and len(max_age) < 6):
            return _bad("max_age", "a number of seconds")
        attempt = Attempt(
            back=back,
            until=self._clock() + ATTEMPT_LASTS,
            assurance=Assurance[acr.upper()] if acr else None,
            max_age_s=int(max_age) if max_age else None,
        )
        try:
            address = await self._issuer.address(attempt, given.get("ui_locales"))
        except SignInError as failed:
            return _failed(failed, back)
        answer = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        sealed = _sealed(self._key, attempt, ATTEMPT_COOKIE).hex()
        answer.set_cookie(ATTEMPT_COOKIE, sealed, max_age=int(ATTEMPT_LASTS.total_seconds()), **_COOKIE)
        return answer

    async def _callback(self, request: Request) -> Response:
        """The browser is back from the issuer."""
        now, back = self._clock(), "/"
        try:
            attempt = self._attempt(request.cookies.get(ATTEMPT_COOKIE, ""))
            back = attempt.back
            who = await self._issuer.signed_in(attempt, _once(request.query_params.multi_items()))
        except DeniedError:
            return _without_attempt(RedirectResponse(back, 303, {"Cache-Control": "no-store"}))
        except SignInError as failed:
            return _without_attempt(_failed(failed, back))
        cookie = secrets.token_urlsafe(32)
        kept = Kept(who.access_token, _jwk(who.key), who.until, who.assurance, who.name)
        sealed = _sealed(self._key_with(cookie), kept, _hash(cookie))
        before = request.cookies.get(COOKIE)
        await self._sessions.purge(now - ABSOLUTE, now - IDLE)
        await self._sessions.begin(SessionRecord(_hash(cookie), sealed, now, now), before and _hash(before))
        answer = RedirectResponse(back, 303, {"Cache-Control": "no-store"})
        answer.set_cookie(COOKIE, cookie, **_COOKIE)
        return _without_attempt(answer)

    async def _logout(self, request: Request) -> Response:
        if not is_ours(request.headers):
            return JSONResponse({"errors": [_CROSS_SITE]}, 403, {"Cache-Control": "no-store"})
        if cookie := request.cookies.get(COOKIE):
            await self._sessions.end(_hash(cookie))
        answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
        answer.delete_cookie(COOKIE, **_COOKIE)
        return answer

    async def _who(self, request: Request) -> Response:
        """Who is signed in. To look is not to use: the end comes no later by it."""
        session = await self.session(request.cookies.get(COOKIE))
        if session is None:
            return JSONResponse({"login": LOGIN}, 401, {"Cache-Control": "no-store", "WWW-Authenticate": "DPoP"})
        told = {
            "name": session.kept.name,
            "assurance": session.kept.assurance.name,
            "until": session.until.isoformat(timespec="seconds"),
        }
        return JSONResponse(told, headers={"Cache-Control": "no-store"})

    def _attempt(self, sent: str) -> Attempt:
        try:
            attempt = _opened(self._key, bytes.fromhex(sent), ATTEMPT_COOKIE, Attempt)
        except ValueError:
            attempt = None
        if attempt is None or attempt.until <= self._clock():
            raise SignInError("No sign-in was begun in this browser, or too long ago.")
        return attempt

    def _key_with(self, cookie: str) -> bytes:
        return hmac.digest(self._key, cookie.encode(), "sha256")


def unconfigured() -> list[Route]:
    """The same places where no client is registered for the portal: nobody can sign in."""

    async def refuse(_request: Request) -> Response:
        said = error(
            "Nobody signs in by browser here: set ONESTOP_PORTAL_CLIENT_ID and ONESTOP_PORTAL_KEY_FILE.",
            code="SIGN_IN_NOT_CONFIGURED",
        )
        return JSONResponse({"errors": [said]}, 404, {"Cache-Control": "no-store"})

    return [Route(path, refuse, methods=["GET", "POST"]) for path in ("/session", LOGIN, LOGOUT, CALLBACK)]


class _Guarded:
    """GraphQL for a browser with our cookie. A request that brings a token of its own passes as it is."""

    def __init__(self, sessions: BrowserSessions, endpoint: ASGIApp, origin: str | None) -> None:
        self._sessions = sessions
        self._origin = origin
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        cookie = cookie_parser("; ".join(headers.getlist("cookie"))).get(COOKIE)
        if scope["method"] != "POST" or cookie is None or "authorization" in headers:
            await self._endpoint(scope, receive, send)
            return
        if not is_ours(headers):
            await _refusal(headers, 403, _CROSS_SITE)(scope, receive, send)
            return
        session = await self._sessions.session(cookie)
        if session is None:
            over = error("The session is over. Sign in again.", code="UNAUTHENTICATED", loginUrl=LOGIN)
            await _refusal(headers, 401, over)(scope, receive, send)
            return
        await self._sessions.in_use(session)
        asked = {**scope, "headers": list(scope["headers"])}
        changed = MutableHeaders(scope=asked)
        del changed["cookie"]
        changed["authorization"] = f"DPoP {session.kept.access_token}"
        origin = self._origin or f"{scope['scheme']}://{headers.get('host', '')}"
        changed["dpop"] = self._sessions.proof(session, scope["method"], f"{origin}{scope['path']}")
        await self._endpoint(asked, receive, send)


_CROSS_SITE: Final = error(
    "A page of another site may not ask with this cookie. Send `X-Onestop-Csrf: 1` from our own page.",
    code="CROSS_SITE",
)


def is_ours(headers: Headers) -> bool:
    """Whether a page of our own origin asks: by what its browser says, and by a header no form can send."""
    return headers.getlist("sec-fetch-site") == ["same-origin"] and headers.get(CSRF) == "1"


def _refusal(headers: Headers, status: int, said: dict[str, Any]) -> Response:
    accepted = negotiated(", ".join(headers.getlist("accept")))
    sent = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": caller_uuid(headers.get("x-request-id")) or str(uuid4()),
        **({"WWW-Authenticate": "DPoP"} if status == 401 else {}),
    }
    media_type = GRAPHQL if accepted == GRAPHQL else JSON
    return Response(msgspec.json.encode({"errors": [said]}), status, sent, f"{media_type}; charset=utf-8")


def _bad(name: str, wanted: str) -> Response:
    return JSONResponse({"errors": [error(f"`{name}` must be {wanted}.", field=name)]}, 400)


def _failed(why: SignInError, back: str) -> Response:
    """A page for a person, who can only try again."""
    structlog.get_logger().warning("sign_in_failed", code=why.code, reason=str(why))
    again = escape(f"{LOGIN}?return={quote(back, safe='')}")
    page = f"""<!DOCTYPE html>
<html lang="ko"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>로그인하지 못했습니다 · Not signed in</title></head><body><main>
<h1>로그인하지 못했습니다</h1><p><a href="{again}">다시 로그인</a></p>
<div lang="en"><h2>You are not signed in</h2><p><a href="{again}">Sign in again</a></p></div></main></body></html>"""
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
    return HTMLResponse(page, 503 if isinstance(why, IssuerUnavailableError) else 400, headers)


def _without_attempt(answer: Response) -> Response:
    answer.delete_cookie(ATTEMPT_COOKIE, **_COOKIE)
    return answer


def _once(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    if len(dict(pairs)) != len(pairs):
        raise SignInError("A parameter is there twice.")
    return dict(pairs)


def _jwk(key: ECKey) -> dict[str, str | list[str]]:
    private = key.as_dict(private=True)
    return {name: str(private[name]) for name in ("kty", "crv", "x", "y", "d")}


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def _sealed(key: bytes, value: msgspec.Struct, bound_to: str) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(value), bound_to.encode())


def _opened(key: bytes, box: bytes, bound_to: str, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(AESGCM(key).decrypt(box[:12], box[12:], bound_to.encode()), type=kind)
    except (InvalidTag, ValueError, msgspec.DecodeError):
        return None
