"""Land: parcels, buildings and what weighs on them, from the cadastre, the building ledger and the court's register.

Wire format: docs/wire/README.md, LAND. Values are the person's part: official price by area and share, rounded down to
whole won.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction as Exact
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from connectors.connector import Answered, Asked, Connector, Speed
from connectors.guard import (
    Desk,
    NoneHeld,
    allowed,
    area,
    attempt,
    count,
    decoded,
    distinct,
    facts,
    failures,
    fraction,
    price,
    problem,
    same_person,
    same_request,
    settled,
    shown,
    within_limit,
    won,
)
from connectors.transport import AgencyError, Transport, Unreadable, WireReply
from schema.answer import Answer, AnswerStatus, KnownFact
from schema.disclosure import Agency
from schema.identifiers import SectorId
from schema.land import BirthLand, Building, Encumbrance, EncumbranceKind, EstateLand, LandLedger, LandParcel
from schema.person import Fraction

SOURCE: Final = "Cadastre and building ledger"
DWELLINGS: Final = frozenset({"아파트", "단독주택", "다세대주택", "연립주택", "다가구주택", "주거용 오피스텔"})
PAGE_LIMIT: Final = 10
CURSOR_LIMIT: Final = 512

Item = TypeVar("Item", bound="_Owned")

# ---------------------------------------------------------------- wire

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class _Share(msgspec.Struct, frozen=True):
    numerator: int
    denominator: int


class _Owned(msgspec.Struct, frozen=True, rename="camel"):
    owner_id: str


class _Parcel(_Owned, frozen=True, rename="camel"):
    pnu: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{10}[12][0-9]{8}\Z")]
    address: str
    ledger: LandLedger
    category: str
    area_m2: str = msgspec.field(name="areaM2")
    share: _Share | None = None
    price_per_m2: int | None = msgspec.field(name="pricePerM2", default=None)
    price_year: int | None = None
    acquired_on: date | None = None
    acquisition_cause: str | None = None


class _Building(_Owned, frozen=True, rename="camel"):
    register_number: str
    pnu: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{10}[12][0-9]{8}\Z")]
    address: str
    purpose: str
    area_m2: str = msgspec.field(name="areaM2")
    name: str | None = None
    approved_on: date | None = None
    share: _Share | None = None
    house_price: int | None = None


class _Encumbrance(_Owned, frozen=True, rename="camel"):
    kind: EncumbranceKind
    pnu: str | None = None
    register_number: str | None = None
    holder: str | None = None
    maximum_claim: int | None = None
    registered_on: date | None = None
    released_on: date | None = None


class _Page(msgspec.Struct, Generic[Item], frozen=True, rename="camel"):
    request_id: str
    owner_id: str
    as_of: _Instant
    total: int
    items: list[Item]
    next: str | None = None


class _Reliefs(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    owner_id: str
    as_of: _Instant
    new_home_tax_relief: KnownFact = KnownFact.UNKNOWN


_PARCELS: Final = msgspec.json.Decoder(_Page[_Parcel])
_BUILDINGS: Final = msgspec.json.Decoder(_Page[_Building])
_ENCUMBRANCES: Final = msgspec.json.Decoder(_Page[_Encumbrance])
_RELIEFS: Final = msgspec.json.Decoder(_Reliefs)


@dataclass(frozen=True, slots=True)
class _Listed(Generic[Item]):
    """All pages of one endpoint."""

    items: list[Item]
    as_of: datetime
    request_id: str
    """Of the last page."""


_Part: TypeAlias = _Listed[Item] | AgencyError | None
"""How an endpoint was heard; None when it was not asked."""


# ---------------------------------------------------------------- asking


@dataclass(frozen=True, slots=True)
class _Inquiry:
    """One question on its way to the endpoints."""

    transport: Transport
    asked: Asked
    deadline: float

    async def listed(
        self, person: SectorId, endpoint: str, decoder: msgspec.json.Decoder[_Page[Item]]
    ) -> _Listed[Item]:
        """Read one endpoint to its last page: as many records as it says there are."""
        items: list[Item] = []
        cursors: list[str] = []
        while True:
            reply = await self._reply(person, endpoint, {"cursor": cursors[-1]} if cursors else {})
            page = decoded(facts(reply, person), decoder)
            same_request(page.request_id, reply.request_id)
            same_person(page.owner_id, person)
            for one in page.items:
                same_person(one.owner_id, person)
            items += page.items
            within_limit(max(len(items), count(page.total)))
            if page.next is None:
                if len(items) != page.total:
                    raise Unreadable("INCOMPLETE_LIST")
                return _Listed(items, page.as_of, reply.request_id)
            if page.next in cursors or len(page.next) > CURSOR_LIMIT or len(cursors) + 1 == PAGE_LIMIT:
                raise Unreadable("ENDLESS_LIST")
            cursors.append(page.next)

    async def part(self, endpoint: str, decoder: msgspec.json.Decoder[_Page[Item]], *, may_read: bool) -> _Part[Item]:
        """One endpoint about the person asked for, if anything of it may be read."""
        return await attempt(self.listed(self.asked.person, endpoint, decoder)) if may_read else None

    async def reliefs(self, *, may_read: bool) -> _Reliefs | AgencyError | None:
        """Whether a relief was given for the child, if that may be read."""
        return await attempt(self._relief()) if may_read else None

    async def _relief(self) -> _Reliefs:
        reply = await self._reply(self.asked.person, "reliefs", {})
        said = decoded(facts(reply, self.asked.person), _RELIEFS)
        same_request(said.request_id, reply.request_id)
        same_person(said.owner_id, self.asked.person)
        return said

    async def _reply(self, person: SectorId, endpoint: str, params: Mapping[str, str]) -> WireReply:
        return await self.transport.request(
            "GET",
            f"/v1/owners/{person}/{endpoint}",
            purpose=self.asked.purpose,
            case=self.asked.case,
            params=params,
            deadline=self.deadline,
        )


def _answer(
    desk: Desk,
    asked: Asked,
    heard: Sequence[tuple[str, _Listed[Any] | _Reliefs | AgencyError | None]],
    *,
    nothing: bool,
) -> Answer:
    """How it went over all endpoints, of which at least one answered. `nothing`: they positively say none."""
    said = [part for _, part in heard if isinstance(part, _Listed | _Reliefs)]
    missing = {
        (part.code, endpoint)
        for endpoint, part in heard
        if isinstance(part, AgencyError) and not isinstance(part, NoneHeld)
    }
    whole = AnswerStatus.NONE_HELD if nothing else AnswerStatus.COMPLETE
    return desk.answer(
        asked,
        AnswerStatus.PARTIAL if missing else whole,
        reference=said[0].request_id if said else None,
        as_of=min((part.as_of for part in said), default=None),
        problems=[problem(code, endpoint) for code, endpoint in sorted(missing)],
    )


def _items(part: _Part[Item]) -> list[Item] | None:
    """What an endpoint positively said; None when it is not known."""
    match part:
        case _Listed():
            return part.items
        case NoneHeld():
            return []
    return None


# ---------------------------------------------------------------- estate


def estate(transport: Transport, clock: Callable[[], datetime]) -> Connector[EstateLand]:
    """What the deceased person owns."""
    desk = Desk(Agency.LAND, SOURCE, clock)

    async def fetch(asked: Sequence[Asked]) -> Sequence[Answered[EstateLand]]:
        deadline = transport.deadline()
        return await asyncio.gather(
            *(
                settled(
                    desk,
                    one,
                    _estate(desk, _Inquiry(transport, one, deadline)),
                    unknown=_unknown_estate,
                    nothing=_no_estate(one),
                    drop_pool=transport.drop_pool,
                )
                for one in asked
            )
        )

    return Connector(Agency.LAND, Speed.INSTANT, SOURCE, EstateLand, fetch)


def _unknown_estate(answer: Answer) -> EstateLand:
    return EstateLand(answer=answer, parcels=None, buildings=None)


def _no_estate(asked: Asked) -> Callable[[Answer], EstateLand]:
    """Empty lists, as far as they were asked for."""
    return lambda answer: EstateLand(
        answer=answer,
        parcels=allowed(asked, "EstateLand.parcels", []),
        buildings=allowed(asked, "EstateLand.buildings", []),
    )


async def _estate(desk: Desk, inquiry: _Inquiry) -> Answered[EstateLand]:
    asked = inquiry.asked
    may_parcels, may_buildings = asked.may_read("EstateLand.parcels"), asked.may_read("EstateLand.buildings")
    if not (may_parcels or may_buildings):
        return desk.not_asked(_unknown_estate)
    may_encumbrances = (may_parcels and asked.may_read("LandParcel.encumbrances")) or (
        may_buildings and asked.may_read("Building.encumbrances")
    )
    parcels_part, buildings_part, encumbrances_part = await asyncio.gather(
        inquiry.part("parcels", _PARCELS, may_read=may_parcels),
        inquiry.part("buildings", _BUILDINGS, may_read=may_buildings),
        inquiry.part("encumbrances", _ENCUMBRANCES, may_read=may_encumbrances),
    )
    main = [part for part in (parcels_part, buildings_part) if part is not None]
    failures(main + [encumbrances_part] * isinstance(encumbrances_part, Unreadable))
    parcels, buildings, encumbrances = _items(parcels_part), _items(buildings_part), _items(encumbrances_part)
    heard = {"parcels": parcels_part, "buildings": buildings_part, "encumbrances": encumbrances_part}
    if any(isinstance(part, NoneHeld) for part in heard.values()) and (parcels or buildings or encumbrances):
        raise Unreadable("CONTRADICTION")  # never heard of the person, and yet holds something
    distinct([one.pnu for one in parcels or ()])
    distinct([one.register_number for one in buildings or ()])
    attached = None if encumbrances is None else _attached(encumbrances, parcels, buildings)

    answer = _answer(desk, asked, list(heard.items()), nothing=parcels == [] == buildings)
    section = EstateLand(
        answer=answer,
        parcels=None if parcels is None else [_parcel(one, attached, asked) for one in parcels],
        buildings=None if buildings is None else [_building(one, attached, asked) for one in buildings],
    )
    return Answered(section=section, answer=answer)


_Property: TypeAlias = tuple[str | None, str | None]
"""What an encumbrance weighs on: a parcel's number or a building's register number."""


def _attached(
    encumbrances: Iterable[_Encumbrance], parcels: list[_Parcel] | None, buildings: list[_Building] | None
) -> Mapping[_Property, list[_Encumbrance]]:
    """Encumbrances in force by what they weigh on. One on something that the person does not own is a contradiction."""
    attached: defaultdict[_Property, list[_Encumbrance]] = defaultdict(list)
    for one in encumbrances:
        if (one.pnu is None) == (one.register_number is None):
            raise Unreadable("UNKNOWN_SHAPE")
        if one.released_on is None:
            attached[one.pnu, one.register_number].append(one)
    weighed_parcels = {pnu for pnu, _ in attached if pnu is not None}
    weighed_buildings = {number for _, number in attached if number is not None}
    if (parcels is not None and weighed_parcels - {one.pnu for one in parcels}) or (
        buildings is not None and weighed_buildings - {one.register_number for one in buildings}
    ):
        raise Unreadable("CONTRADICTION")
    return attached


def _parcel(wire: _Parcel, attached: Mapping[_Property, list[_Encumbrance]] | None, asked: Asked) -> LandParcel:
    area_m2, share = area(wire.area_m2), _share(wire.share)
    price_per_m2 = None if wire.price_per_m2 is None else price(wire.price_per_m2)
    value = None
    if price_per_m2 is not None and share is not None:
        value = won(math.floor(price_per_m2 * Exact(area_m2) * Exact(share.numerator, share.denominator)))
    return LandParcel(
        pnu=wire.pnu,
        address=wire.address,
        ledger=wire.ledger,
        category=wire.category,
        area_m2=area_m2,
        ownership_share=allowed(asked, "LandParcel.ownershipShare", share),
        price_per_m2=allowed(asked, "LandParcel.pricePerM2", price_per_m2),
        price_year=allowed(asked, "LandParcel.priceYear", None if wire.price_year is None else count(wire.price_year)),
        assessed_value=allowed(asked, "LandParcel.assessedValue", value),
        acquired_on=allowed(asked, "LandParcel.acquiredOn", wire.acquired_on),
        acquisition_cause=allowed(asked, "LandParcel.acquisitionCause", wire.acquisition_cause),
        encumbrances=_encumbrances(attached, (wire.pnu, None), "LandParcel.encumbrances", asked),
    )


def _building(wire: _Building, attached: Mapping[_Property, list[_Encumbrance]] | None, asked: Asked) -> Building:
    share = _share(wire.share)
    value = None
    if wire.house_price is not None:
        house_price = price(wire.house_price)
        value = None if share is None else won(house_price * share.numerator // share.denominator)
    return Building(
        register_number=wire.register_number,
        pnu=wire.pnu,
        name=allowed(asked, "Building.name", wire.name),
        address=wire.address,
        purpose=wire.purpose,
        area_m2=area(wire.area_m2),
        approved_on=allowed(asked, "Building.approvedOn", wire.approved_on),
        ownership_share=allowed(asked, "Building.ownershipShare", share),
        assessed_value=allowed(asked, "Building.assessedValue", value),
        encumbrances=_encumbrances(attached, (None, wire.register_number), "Building.encumbrances", asked),
    )


def _share(wire: _Share | None) -> Fraction | None:
    return None if wire is None else fraction(wire.numerator, wire.denominator)


def _encumbrances(
    attached: Mapping[_Property, list[_Encumbrance]] | None, weighed: _Property, coordinate: str, asked: Asked
) -> list[Encumbrance] | None:
    if attached is None or not asked.may_read(coordinate):
        return None
    return [_encumbrance(one, asked) for one in attached.get(weighed, ())]


def _encumbrance(wire: _Encumbrance, asked: Asked) -> Encumbrance:
    claim = None if wire.maximum_claim is None else price(wire.maximum_claim)
    return Encumbrance(
        kind=wire.kind,
        holder=shown(asked, "Encumbrance.holder", wire.holder),
        maximum_claim=allowed(asked, "Encumbrance.maximumClaim", claim),
        registered_on=allowed(asked, "Encumbrance.registeredOn", wire.registered_on),
    )


# ---------------------------------------------------------------- birth


def birth(transport: Transport, clock: Callable[[], datetime]) -> Connector[BirthLand]:
    """Homes of the child's household, and the tax relief on one bought for the child."""
    desk = Desk(Agency.LAND, SOURCE, clock)

    async def fetch(asked: Sequence[Asked]) -> Sequence[Answered[BirthLand]]:
        deadline = transport.deadline()
        return await asyncio.gather(
            *(
                settled(
                    desk,
                    one,
                    _birth(desk, _Inquiry(transport, one, deadline)),
                    unknown=_unknown_birth,
                    nothing=_no_home(one),
                    drop_pool=transport.drop_pool,
                )
                for one in asked
            )
        )

    return Connector(Agency.LAND, Speed.INSTANT, SOURCE, BirthLand, fetch)


def _unknown_birth(answer: Answer) -> BirthLand:
    return BirthLand(answer=answer, homes=None, new_home_tax_relief=KnownFact.UNKNOWN)


def _no_home(asked: Asked) -> Callable[[Answer], BirthLand]:
    """No homes, as far as they were asked for. An agency that never heard of the child does not say no to a relief."""
    return lambda answer: BirthLand(
        answer=answer, homes=allowed(asked, "BirthLand.homes", 0), new_home_tax_relief=KnownFact.UNKNOWN
    )


async def _birth(desk: Desk, inquiry: _Inquiry) -> Answered[BirthLand]:
    asked = inquiry.asked
    may_homes, may_relief = asked.may_read("BirthLand.homes"), asked.may_read("BirthLand.newHomeTaxRelief")
    if not (may_homes or may_relief):
        return desk.not_asked(_unknown_birth)
    household = tuple(dict.fromkeys((asked.person, *asked.household))) if may_homes else ()
    relief, owned = await asyncio.gather(
        inquiry.reliefs(may_read=may_relief),
        asyncio.gather(*(attempt(inquiry.listed(one, "buildings", _BUILDINGS)) for one in household)),
    )
    heard = [("reliefs", relief), *(("buildings", part) for part in owned)]
    failures([part for _, part in heard if part is not None])
    homes: set[str] | None = set() if may_homes else None
    for items in map(_items, owned):
        homes = None if homes is None or items is None else homes | _homes(items, asked)
    answer = _answer(desk, asked, heard, nothing=False)
    section = BirthLand(
        answer=answer,
        homes=None if homes is None else len(homes),
        new_home_tax_relief=relief.new_home_tax_relief if isinstance(relief, _Reliefs) else KnownFact.UNKNOWN,
    )
    return Answered(section=section, answer=answer)


def _homes(buildings: list[_Building], asked: Asked) -> set[str]:
    """Register numbers of the dwellings, so that a home of two parents counts once. Every record is checked in full."""
    distinct([one.register_number for one in buildings])
    for one in buildings:
        _building(one, None, asked)
    return {one.register_number for one in buildings if one.purpose in DWELLINGS}
