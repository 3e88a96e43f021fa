"""Tax: what is owed to or claimed back from the state and the municipalities, and credits for a child.

Wire format: docs/wire/README.md, TAX. Every answer is a JWS (RFC 7515, ES256) that the agency signed for this question;
an answer whose signature, issuer or time is wrong is not used at all.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

import msgspec
import strawberry
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from connectors.connector import Answered, Asked, Connector, Speed
from connectors.guard import (
    Desk,
    NoneHeld,
    allowed,
    attempt,
    decoded,
    distinct,
    facts,
    failures,
    price,
    problem,
    same_person,
    same_request,
    settled,
    within_limit,
)
from connectors.jwks import Jwks
from connectors.transport import BODY_LIMIT, AgencyError, Transport, Unreadable
from schema.answer import Answer, AnswerStatus
from schema.disclosure import Agency
from schema.scalars import Won
from schema.tax import BirthTax, EstateTax, TaxItem, TaxLevel, TaxState

SOURCE: Final = "National Tax Service and municipalities"
LONGEST_AGE: Final = timedelta(minutes=10)
CLOCK_SKEW: Final = timedelta(seconds=60)

# ---------------------------------------------------------------- wire

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole protected header: nothing in it may name a key or an extension (RFC 8725 §3)."""

    alg: Literal["ES256"]
    typ: Literal["tax+jws"]
    kid: str


class _Signed(msgspec.Struct, frozen=True, rename="camel"):
    """What every signed answer says."""

    iss: str
    iat: int
    request_id: str
    taxpayer_id: str
    as_of: _Instant


class _Item(msgspec.Struct, frozen=True, rename="camel"):
    taxpayer_id: str
    reference: str
    level: TaxLevel
    tax: str
    period: str
    authority: str
    state: TaxState
    assessed: int | None = None
    arrears: int | None = None
    surcharge: int | None = None
    refundable: int | None = None
    due_on: date | None = None


class _Items(_Signed, frozen=True, rename="camel"):
    level: TaxLevel
    items: list[_Item]


class _Credits(_Signed, frozen=True, rename="camel"):
    child_tax_credit: int | None = None
    birth_tax_credit: int | None = None


Wire = TypeVar("Wire", bound=_Signed)

_HEADER: Final = msgspec.json.Decoder(_Header)
_ITEMS: Final = msgspec.json.Decoder(_Items)
_CREDITS: Final = msgspec.json.Decoder(_Credits)

_REGISTRY: Final = JWSRegistry(algorithms=["ES256"])
_REGISTRY.max_payload_length = BODY_LIMIT  # as everywhere; joserfc's own limit is smaller than 200 records can be


# ---------------------------------------------------------------- asking


@dataclass(frozen=True, slots=True)
class _Agency:
    """The agency, and what proves that it speaks."""

    transport: Transport
    desk: Desk
    issuer: str
    keys: Jwks

    async def signed(
        self,
        asked: Asked,
        endpoint: str,
        params: dict[str, str],
        decoder: msgspec.json.Decoder[Wire],
        *,
        deadline: float,
    ) -> Wire:
        """One answer about the person asked for, signed by the agency, just now, for this question."""
        reply = await self.transport.request(
            "GET",
            f"/v1/taxpayers/{asked.person}/{endpoint}",
            purpose=asked.purpose,
            case=asked.case,
            params=params,
            headers={"Accept": "application/jose"},
            deadline=deadline,
        )
        token = facts(reply, asked.person, "application/jose")
        said = decoded(await self._payload(token, deadline), decoder)
        if said.iss != self.issuer:
            raise Unreadable("WRONG_ISSUER")
        now = self.desk.clock().timestamp()
        if not now - LONGEST_AGE.total_seconds() <= said.iat <= now + CLOCK_SKEW.total_seconds():
            raise Unreadable("WRONG_TIME")
        same_request(said.request_id, reply.request_id)
        same_person(said.taxpayer_id, asked.person)
        return said

    async def _payload(self, token: bytes, deadline: float) -> bytes:
        """What the agency signed."""
        try:
            protected = token.split(b".", 1)[0]
            padding = b"=" * (-len(protected) % 4)
            header = decoded(b64decode(protected + padding, altchars=b"-_", validate=True), _HEADER)
        except (Unreadable, ValueError) as error:
            raise Unreadable("BAD_SIGNATURE") from error
        key = await self.keys.key(header.kid, deadline=deadline)
        try:
            return jws.deserialize_compact(token, key, registry=_REGISTRY).payload
        except (JoseError, ValueError) as error:
            raise Unreadable("BAD_SIGNATURE") from error


# ---------------------------------------------------------------- estate


def estate(transport: Transport, clock: Callable[[], datetime], issuer: str, keys: Jwks) -> Connector[EstateTax]:
    """Taxes of the deceased person; `issuer` is the `iss` of the agency's signatures, `keys` its public keys."""
    agency = _Agency(transport, Desk(Agency.TAX, SOURCE, clock), issuer, keys)

    async def fetch(asked: Sequence[Asked]) -> Sequence[Answered[EstateTax]]:
        deadline = transport.deadline()
        return await asyncio.gather(
            *(
                settled(
                    agency.desk,
                    one,
                    _estate(agency, one, deadline),
                    unknown=_unknown_estate,
                    nothing=lambda answer: EstateTax(answer=answer, items=[]),
                    drop_pool=transport.drop_pool,
                )
                for one in asked
            )
        )

    return Connector(Agency.TAX, Speed.INSTANT, SOURCE, EstateTax, fetch)


def _unknown_estate(answer: Answer) -> EstateTax:
    return EstateTax(answer=answer, items=None)


async def _estate(agency: _Agency, asked: Asked, deadline: float) -> Answered[EstateTax]:
    if not asked.may_read("EstateTax.items"):
        return agency.desk.not_asked(_unknown_estate)
    parts = await asyncio.gather(*(attempt(_level(agency, asked, level, deadline)) for level in TaxLevel))
    missing = failures(parts)
    said = [part for part in parts if isinstance(part, _Items)]
    wire = [item for part in said for item in part.items]
    if wire and any(isinstance(part, NoneHeld) for part in parts):
        raise Unreadable("CONTRADICTION")  # never heard of the person, and yet taxes them
    within_limit(len(wire))
    distinct([one.reference for one in wire])
    items = [_item(one, asked) for one in wire]
    answer = agency.desk.answer(
        asked,
        AnswerStatus.PARTIAL if missing else AnswerStatus.COMPLETE if items else AnswerStatus.NONE_HELD,
        reference=said[0].request_id if said else None,
        as_of=min((part.as_of for part in said), default=None),
        problems=[
            problem(part.code, level.name)
            for level, part in zip(TaxLevel, parts, strict=True)
            if isinstance(part, AgencyError) and part in missing
        ],
    )
    # Nothing at one level says nothing of the level that is missing: no list rather than an empty one.
    return Answered(section=EstateTax(answer=answer, items=None if missing and not items else items), answer=answer)


async def _level(agency: _Agency, asked: Asked, level: TaxLevel, deadline: float) -> _Items:
    """All items of one level: of that level, about that person."""
    said = await agency.signed(asked, "items", {"level": level.name}, _ITEMS, deadline=deadline)
    for one in said.items:
        same_person(one.taxpayer_id, asked.person)
    if said.level is not level or any(one.level is not level for one in said.items):
        raise Unreadable("CONTRADICTION")
    return said


def _item(wire: _Item, asked: Asked) -> TaxItem:
    return TaxItem(
        id=strawberry.ID(asked.seal("TaxItem", wire.reference)),
        level=wire.level,
        tax=wire.tax,
        period=wire.period,
        authority=wire.authority,
        state=wire.state,
        assessed=_amount(asked, "TaxItem.assessed", wire.assessed),
        arrears=_amount(asked, "TaxItem.arrears", wire.arrears),
        surcharge=_amount(asked, "TaxItem.surcharge", wire.surcharge),
        refundable=_amount(asked, "TaxItem.refundable", wire.refundable),
        due_on=allowed(asked, "TaxItem.dueOn", wire.due_on),
    )


def _amount(asked: Asked, coordinate: str, value: int | None) -> Won | None:
    """A checked amount where it may be read."""
    return None if value is None else allowed(asked, coordinate, price(value))


# ---------------------------------------------------------------- birth


def birth(transport: Transport, clock: Callable[[], datetime], issuer: str, keys: Jwks) -> Connector[BirthTax]:
    """Income-tax credits that follow from the child."""
    agency = _Agency(transport, Desk(Agency.TAX, SOURCE, clock), issuer, keys)

    async def fetch(asked: Sequence[Asked]) -> Sequence[Answered[BirthTax]]:
        deadline = transport.deadline()
        return await asyncio.gather(
            *(
                settled(
                    agency.desk,
                    one,
                    _birth(agency, one, deadline),
                    unknown=_unknown_birth,
                    nothing=_unknown_birth,
                    drop_pool=transport.drop_pool,
                )
                for one in asked
            )
        )

    return Connector(Agency.TAX, Speed.INSTANT, SOURCE, BirthTax, fetch)


def _unknown_birth(answer: Answer) -> BirthTax:
    return BirthTax(answer=answer, child_tax_credit=None, birth_tax_credit=None)


async def _birth(agency: _Agency, asked: Asked, deadline: float) -> Answered[BirthTax]:
    if not asked.may_read("BirthTax.childTaxCredit", "BirthTax.birthTaxCredit"):
        return agency.desk.not_asked(_unknown_birth)
    said = await agency.signed(asked, "credits", {}, _CREDITS, deadline=deadline)
    child = _amount(asked, "BirthTax.childTaxCredit", said.child_tax_credit)
    of_the_year = _amount(asked, "BirthTax.birthTaxCredit", said.birth_tax_credit)
    answer = agency.desk.answer(asked, AnswerStatus.COMPLETE, reference=said.request_id, as_of=said.as_of)
    return Answered(
        section=BirthTax(answer=answer, child_tax_credit=child, birth_tax_credit=of_the_year), answer=answer
    )
