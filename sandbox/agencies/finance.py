"""The financial supervisor's inquiry service: a ticket first, the answer days later by poll or callback.

An answer has one part per institution and is deleted three months after the inquiry was received.
Source: docs/wire/README.md, "FINANCE"; RFC 7515 appendix F for the detached signature.
"""

import asyncio
import ipaddress
from calendar import monthrange
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
from joserfc import jws
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.frame import (
    AgencyState,
    application,
    bad_request,
    checked,
    instant,
    is_sid,
    json_bytes,
    json_response,
    members,
    met,
    no_answer,
    unknown,
)
from sandbox.facts import FinanceFacts, InstitutionFacts, Subject

LISTS: Final = {
    "ESTATE": ("deposits", "loans", "securities", "insurance", "cards", "guarantees", "custody"),
    "BIRTH": ("deposits", "vouchers"),
}
"""What an inquiry of each scope is told of."""

_SIGNED: Final = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)  # `iat` is not a registered header


@dataclass(slots=True)
class Inquiry:
    """One inquiry; `late` when its answer was still to come on the day it was received."""

    ticket: str
    request_id: str
    sid: str
    subject: Subject
    scope: str
    callback_url: str | None
    received_at: datetime
    expected_by: date
    late: bool
    released: bool = False
    deleted: bool = False
    called_back: bool = False

    @property
    def visible_until(self) -> datetime:
        """Three months after receipt."""
        months = self.received_at.month + 2
        year, month = self.received_at.year + months // 12, months % 12 + 1
        return self.received_at.replace(
            year=year, month=month, day=min(self.received_at.day, monthrange(year, month)[1])
        )


def finance(
    state: AgencyState, *, look_every_s: float = 1.0, pauses_s: tuple[float, ...] = (0.5, 2.0, 8.0)
) -> Starlette:
    """Build the service with a signing key of its own.

    Every `look_every_s` it looks for late inquiries whose day has come and calls back; a callback that is not taken is
    sent again after each of `pauses_s`.
    """
    return _Service(state, look_every_s, pauses_s).application()


class _Service:
    def __init__(self, state: AgencyState, look_every_s: float, pauses_s: tuple[float, ...]) -> None:
        self._state = state
        self._look_every_s = look_every_s
        self._pauses_s = pauses_s
        self._key = ECKey.generate_key("P-256", auto_kid=True)
        self._inquiries: dict[str, Inquiry] = {}
        self._by_key: dict[str, Inquiry] = {}
        self._look = asyncio.Event()

    def application(self) -> Starlette:
        return application(
            self._state,
            [
                Route("/v1/inquiries", self.inquire, methods=["POST"]),
                Route("/v1/inquiries/{ticket}", self.poll),
                Route("/v1/jwks.json", self.keys),
                Route("/sandbox/release/{sid}", self.release, methods=["POST"]),
                Route("/sandbox/delete/{ticket}", self.delete, methods=["POST"]),
            ],
            lifespan=self._calling_back,
        )

    # ------------------------------------------------------------ routes

    async def inquire(self, request: Request) -> Response:
        state = self._state
        request_id, key = checked(state, request), request.headers.get("idempotency-key")
        try:
            sid, scope, callback_url = _inquired(await request.json(), request_id)
        except ValueError:
            raise bad_request(request_id) from None
        if not (key and is_sid(state, sid)):
            raise bad_request(request_id)
        await met(state, sid, request_id)
        subject = state.sids.get(sid)
        if subject is None or state.holder(subject).finance is None:
            raise unknown("personId", sid, request_id)
        inquiry = self._by_key.get(key)
        if inquiry is None:
            inquiry = self._opened(request_id, sid, subject, scope, callback_url)
            self._by_key[key] = self._inquiries[inquiry.ticket] = inquiry
        elif (inquiry.sid, inquiry.scope) != (sid, scope):
            raise bad_request(request_id)
        return _received(inquiry, request_id)

    async def poll(self, request: Request) -> Response:
        state = self._state
        request_id = checked(state, request)
        inquiry = self._inquiries.get(request.path_params["ticket"])
        if inquiry is None:
            raise no_answer(404, {"error": "UNKNOWN_TICKET", "requestId": request_id})
        await met(state, inquiry.sid, request_id)
        if inquiry.deleted or state.now() >= inquiry.visible_until:
            raise no_answer(410, {"error": "DELETED", "requestId": request_id})
        if not self._is_answered(inquiry):
            state.faults.fire(inquiry.sid, request_id)
            return _received(inquiry, request_id)
        return json_response(self._answer(inquiry, request_id))

    async def keys(self, _request: Request) -> Response:
        return json_response({"keys": [self._key.as_dict(private=False)]})

    async def release(self, request: Request) -> Response:
        """Answer all late inquiries about a person now, whatever their day."""
        sid = request.path_params["sid"]
        waiting = [each for each in self._inquiries.values() if each.sid == sid and not self._is_answered(each)]
        for inquiry in waiting:
            inquiry.released = True
        self._look.set()
        return json_response({"released": len(waiting)})

    async def delete(self, request: Request) -> Response:
        """Let three months go by for one inquiry."""
        inquiry = self._inquiries.get(request.path_params["ticket"])
        if inquiry is None:
            raise no_answer(404, {"error": "UNKNOWN_TICKET"})
        inquiry.deleted = True
        return json_response({"deleted": inquiry.ticket})

    # ------------------------------------------------------------ what is answered

    def _opened(self, request_id: str, sid: str, subject: Subject, scope: str, callback_url: str | None) -> Inquiry:
        state = self._state
        fault = state.faults.find(sid, "LATE")
        if fault:
            state.faults.fire(sid, request_id)
        expected_by = (fault and fault.expected_by) or state.today - timedelta(days=1)
        return Inquiry(
            ticket=uuid4().hex,
            request_id=request_id,
            sid=sid,
            subject=subject,
            scope=scope,
            callback_url=callback_url,
            received_at=state.now(),
            expected_by=expected_by,
            late=state.today < expected_by,
        )

    def _is_answered(self, inquiry: Inquiry) -> bool:
        return inquiry.released or self._state.today >= inquiry.expected_by

    def _answer(self, inquiry: Inquiry, request_id: str) -> dict[str, Any]:
        facts = self._state.holder(inquiry.subject).finance or FinanceFacts()
        wanted = LISTS[inquiry.scope]
        return {
            "requestId": request_id,
            "personId": inquiry.sid,
            "ticket": inquiry.ticket,
            "receivedAt": instant(inquiry.received_at),
            "visibleUntil": instant(inquiry.visible_until),
            "asOf": self._state.as_of,
            "parts": [
                self._part(inquiry, request_id, each, wanted)
                for each in facts.institutions
                if any(getattr(each, name) for name in wanted)
            ],
        }

    def _part(
        self, inquiry: Inquiry, request_id: str, facts: InstitutionFacts, wanted: tuple[str, ...]
    ) -> dict[str, Any]:
        part: dict[str, Any] = {"personId": inquiry.sid, "institution": members(facts.institution)}
        faults = self._state.faults
        if faults.find_part(inquiry.sid, "FAILED", facts.institution.code):
            faults.fire(inquiry.sid, request_id)
            return part | {"state": "FAILED", "error": "INSTITUTION_TIMEOUT"}
        lists = {name: [members(item) for item in getattr(facts, name)] for name in wanted}
        return part | {"state": "COMPLETE", "error": None} | lists

    # ------------------------------------------------------------ callbacks

    @asynccontextmanager
    async def _calling_back(self, _app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5), trust_env=False) as session:
            watch = asyncio.create_task(self._watch(session))
            try:
                yield
            finally:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        """Call back for every late inquiry that is answered by now."""
        async with asyncio.TaskGroup() as calls:
            while True:
                for inquiry in self._inquiries.values():
                    if inquiry.late and inquiry.callback_url and not inquiry.called_back and self._is_answered(inquiry):
                        inquiry.called_back = True
                        calls.create_task(self._call_back(session, inquiry, inquiry.callback_url))
                self._look.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), self._look_every_s)

    async def _call_back(self, session: aiohttp.ClientSession, inquiry: Inquiry, url: str) -> None:
        body = json_bytes(self._answer(inquiry, inquiry.request_id))
        headers = {"Content-Type": "application/json", "X-Signature": self._signature(body)}
        for pause in (0.0, *self._pauses_s):
            await asyncio.sleep(pause)
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                    if response.status == 200:
                        return

    def _signature(self, body: bytes) -> str:
        """Sign exactly these bytes: header and signature of a JWS whose payload is left out (RFC 7515 appendix F)."""
        header = {
            "alg": "ES256",
            "typ": "finance-callback+jws",
            "kid": self._key.kid,
            "iat": int(self._state.now().timestamp()),
        }
        head, _, signature = jws.serialize_compact(header, body, self._key, registry=_SIGNED).split(".")
        return f"{head}..{signature}"


def _received(inquiry: Inquiry, request_id: str) -> Response:
    return json_response(
        {
            "requestId": request_id,
            "personId": inquiry.sid,
            "ticket": inquiry.ticket,
            "expectedBy": inquiry.expected_by,
        },
        202,
    )


def _inquired(body: object, request_id: str) -> tuple[str, str, str | None]:
    """Person, scope and callback URL of an inquiry; ValueError when the body is anything else."""
    match body:
        case {"requestId": echoed, "personId": str(sid), "scope": "ESTATE" | "BIRTH" as scope, **rest} if (
            echoed == request_id
        ):
            match rest.get("callbackUrl"):
                case None:
                    return sid, scope, None
                case str(url) if _is_loopback(url):
                    return sid, scope, url
    raise ValueError("no inquiry of this form, or a callback to another machine")


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return False
    return parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname).is_loopback
