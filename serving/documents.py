"""Trusted documents at the command line: what a portal's documents read, registering, approving and revoking them.

A file is one GraphQL document, or a manifest of many as build tools write them: an object of texts by id (the client
preset of graphql-codegen, Relay), or Apollo's with `operations`. The id that counts is always the hash of the text.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import aiohttp
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

from auth.dpop import Shown, made
from auth.keys import IssuerKeys
from auth.rows import Rows
from auth.token import TokenCheck, UnauthenticatedError
from auth.viewer import Viewer
from cases.documents import Approval, Registered
from cases.store import Cases
from resolvers.documents import Document, Documents, Limits, Rejection, identified
from resolvers.trusted import Reading, Readings, Standing, State, decoded, grown, standing
from schema.case import Purpose
from schema.disclosure import Agency, Disclosed, Sensitivity, disclosures
from schema.scalars import Coordinate
from schema.viewer import Assurance, Role
from serving import program

HEX: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class DocumentError(Exception):
    """It cannot be done; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Given:
    """A document of a file, with the id it has there."""

    text: str
    id: str | None = None


def given(content: str) -> list[Given]:
    """The documents of a file."""
    if not content.lstrip().startswith("{") or not isinstance(manifest := _json(content), dict):
        return [Given(content)]
    listed = manifest.get("operations")
    found: Mapping[str, Any] = manifest
    if isinstance(listed, list):
        found = {str(each.get("id")): each.get("body") for each in listed if isinstance(each, dict)}
    elif isinstance(listed, dict):
        found = {name: each.get("body") for name, each in listed.items() if isinstance(each, dict)}
    if not found:
        raise DocumentError("The manifest has no documents. Give an object of texts by their id.")
    for name, text in found.items():
        if not isinstance(text, str):
            raise DocumentError(f"The manifest's {name!r} is no text. Give an object of texts by their id.")
        hashed = HEX.fullmatch(name)
        if hashed and f"sha256:{hashed[1]}" != identified(text):
            raise DocumentError(f"{name} is not the SHA-256 of its text. Make the manifest again.")
    return [Given(text, name) for name, text in found.items()]


def _json(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None  # `{ viewer { roles } }` is a document


def purpose_of(name: str) -> Purpose:
    """A purpose by its name."""
    try:
        return Purpose[name]
    except KeyError:
        raise DocumentError(f"{name} is no purpose. Use one of {', '.join(each.name for each in Purpose)}.") from None


@dataclass(frozen=True, slots=True)
class Difference:
    """What a document reads otherwise than the version approved before."""

    before: str
    approved_at: datetime
    added: Sequence[str]
    removed: Sequence[str]
    more_sensitive: Sequence[str]


@dataclass(frozen=True, slots=True)
class Report:
    """What an approver has to know of a document. Without `reading` it is not valid, for the reasons in `errors`."""

    given: Given
    limits: Limits
    document: Document | None = None
    reading: Reading | None = None
    errors: Sequence[Mapping[str, Any]] = ()
    rows: Sequence[Any] = ()
    standing: Standing = field(default_factory=lambda: Standing(State.INVALID))
    difference: Difference | None = None

    @property
    def operations(self) -> str:
        """The operations' names."""
        return names(self.document) if self.document else ""

    def json(self) -> dict[str, Any]:
        """For `--json`."""
        said: dict[str, Any] = {"documentId": identified(self.given.text), "givenId": self.given.id}
        if self.document is None or self.reading is None:
            return said | {"valid": False, "errors": list(self.errors)}
        difference = self.difference
        return said | {
            "valid": True,
            "operations": self.operations.split(","),
            "cost": {name: [cost, getattr(self.limits, name)] for name, cost in self.document.cost._asdict().items()},
            "coordinates": _tree(self.reading.disclosures),
            "derived": _tree(self.reading.derived),
            "ownRecords": list(self.reading.undisclosed),
            "agencies": [agency.name for agency in self.reading.agencies],
            "rows": [asdict(row) for row in self.rows],
            "approversNeeded": self.reading.approvers_needed,
            "state": self.standing.state.name,
            "reason": self.standing.reason,
            "approvers": list(self.standing.approvers),
            "difference": difference
            and {
                "before": difference.before,
                "approvedAt": difference.approved_at.isoformat(),
                "added": list(difference.added),
                "removed": list(difference.removed),
                "moreSensitive": list(difference.more_sensitive),
            },
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{identified(self.given.text)}  {self.operations or '(no name)'}"]
        if self.document is None or self.reading is None:
            return [*lines, *(f"  invalid: {_place(each)}{each['message']}" for each in self.errors)]
        cost = (f"{name} {found}/{getattr(self.limits, name)}" for name, found in self.document.cost._asdict().items())
        lines += [f"  {self.standing.state.name}{f': {self.standing.reason}' if self.standing.reason else ''}"]
        lines += [f"  cost      {', '.join(cost)}"]
        lines += [f"  asks      {', '.join(agency.name for agency in self.reading.agencies) or 'nobody'}"]
        for title, told in (("reads", self.reading.disclosures), ("computes from", self.reading.derived)):
            for agency, by_sensitivity in _tree(told).items():
                for sensitivity, coordinates in by_sensitivity.items():
                    lines += [f"  {title} {agency} {sensitivity}: {', '.join(coordinates)}"]
        lines += (
            [f"  reads of our own records: {', '.join(self.reading.undisclosed)}"] if self.reading.undisclosed else []
        )
        lines += [f"  {row.row} {row.effect}: {row.sentence} ({row.legal_basis})" for row in self.rows]
        lines += [f"  needs the approval of {self.reading.approvers_needed}"]
        if self.difference is None:
            return [*lines, "  no version of it was approved before"]
        lines += [f"  since {self.difference.before}, approved {self.difference.approved_at:%Y-%m-%d}:"]
        changes = [f"    + {name}" for name in self.difference.added]
        changes += [f"    - {name}" for name in self.difference.removed]
        changes += [f"    ! {sentence}" for sentence in self.difference.more_sensitive]
        return [*lines, *(changes or ["    reads the same"])]


def names(document: Document) -> str:
    """The names of its operations, by which versions of one document are known."""
    return ",".join(sorted(document.operations))


def _tree(told: Mapping[Coordinate, Disclosed]) -> dict[str, dict[str, list[str]]]:
    tree: dict[str, dict[str, list[str]]] = {}
    for agency in Agency:
        for sensitivity in Sensitivity:
            found = sorted(str(c) for c, d in told.items() if (d.agency, d.sensitivity) == (agency, sensitivity))
            if found:
                tree.setdefault(agency.name, {})[sensitivity.name] = found
    return tree


def _place(error: Mapping[str, Any]) -> str:
    return "".join(f"line {at['line']}, column {at['column']}: " for at in error.get("locations") or ())


@dataclass(frozen=True, slots=True)
class Listed:
    """A registered document and where it stands."""

    registered: Registered
    standing: Standing

    def json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "client": self.registered.client,
            "documentId": self.registered.hash,
            "operations": self.registered.operations.split(","),
            "purpose": self.registered.purpose.name,
            "state": self.standing.state.name,
            "reason": self.standing.reason,
            "approvers": list(self.standing.approvers),
        }

    def lines(self) -> list[str]:
        """For people."""
        its = self.registered
        line = f"{its.hash}  {its.client}  {its.purpose.name}  {its.operations}  {self.standing.state.name}"
        return [line, f"  {self.standing.reason}"] if self.standing.reason else [line]


class Desk:
    """Where documents are reported, registered, approved and revoked. Open it with `Desk.opened`."""

    def __init__(self, cases: Cases, limits: Limits, *, introspection: bool) -> None:
        graph = program.schema()
        core = graph._schema  # noqa: SLF001 - it has no public name
        self._store = cases.documents
        self._limits = limits
        self._documents = Documents(core, limits, introspection=introspection)
        self._readings = Readings(core, disclosures(core))
        self._rows = Rows()
        self._schema_hash = program.schema_hash(graph)

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, limits: Limits, *, introspection: bool) -> AsyncIterator["Desk"]:
        """A desk on the database at the URL."""
        async with Cases.opened(url) as cases:
            yield cls(cases, limits, introspection=introspection)

    async def report(self, of: Given, client: str, purpose: Purpose) -> Report:
        """What the document would mean for this client and purpose."""
        document = self._documents.take(of.text)
        if isinstance(document, Rejection):
            return Report(of, self._limits, errors=[error.formatted for error in document.errors])
        reading = self._readings.of(document)
        its = await self._approvals(client, document.hash, purpose)
        return Report(
            of,
            self._limits,
            document,
            reading,
            (),
            reading.rows(self._rows, purpose),
            standing(reading, its, self._schema_hash),
            await self._difference(document, reading, client, purpose),
        )

    async def _approvals(self, client: str, hash_: str, purpose: Purpose) -> list[Approval]:
        return [each for each in await self._store.approvals(client, hash_) if each.purpose is purpose]

    async def _difference(
        self, document: Document, reading: Reading, client: str, purpose: Purpose
    ) -> Difference | None:
        versions = [
            each.hash
            for each in await self._store.registered(client)
            if (each.operations, each.purpose) == (names(document), purpose)
        ]
        approvals = [each for version in versions for each in await self._approvals(client, version, purpose)]
        if not approvals:
            return None
        last = max(approvals, key=lambda each: each.at)
        before, now = decoded(last.disclosures), reading.everything
        return Difference(
            last.hash,
            last.at,
            sorted(now.keys() - before.keys()),
            sorted(before.keys() - now.keys()),
            grown(before, {name: told for name, told in now.items() if name in before}),
        )

    async def reports(self, content: str, client: str, purpose: str) -> list[Report]:
        """A report on every document of a file."""
        purpose_ = purpose_of(purpose)
        return [await self.report(each, client, purpose_) for each in given(content)]

    async def register(self, content: str, client: str, purpose: str, now: datetime) -> list[Report]:
        """Keep the documents of a file when all of them are valid."""
        reports = await self.reports(content, client, purpose)
        documents = [each.document for each in reports if each.document]
        if len(documents) == len(reports):
            for each in documents:
                await self._store.register(
                    Registered(client, each.hash, purpose_of(purpose), names(each), each.text, now)
                )
        return reports

    async def approve(
        self, hash_: str, client: str, purpose: str | None, officer: Viewer, now: datetime
    ) -> tuple[Registered, Standing]:
        """Approve a registered document as it reads today."""
        if Role.PRIVACY_OFFICER not in officer.roles or officer.on_behalf_of is not None:
            raise DocumentError("Only a privacy officer approves documents. Give a privacy officer's token.")
        if officer.assurance is not Assurance.HIGH:
            raise DocumentError("Approving needs a sign-in at high assurance. Sign in again.")
        registered = [
            each for each in await self._store.registered(client, full(hash_)) if purpose in {None, each.purpose.name}
        ]
        if not registered:
            raise DocumentError(
                "This client registered no such document. Register it first: onestop documents register."
            )
        if len(registered) > 1:
            found = ", ".join(each.purpose.name for each in registered)
            raise DocumentError(f"It is registered for {found}. Say which with --purpose.")
        (its,) = registered
        document = self._documents.take(its.text)
        if isinstance(document, Rejection):
            raise DocumentError(f"It is not valid any more: {document.errors[0].message}")
        reading = self._readings.of(document)
        await self._store.approve(
            Approval(client, its.hash, its.purpose, officer.person, self._schema_hash, reading.encoded(), now)
        )
        return its, standing(reading, await self._approvals(client, its.hash, its.purpose), self._schema_hash)

    async def revoke(self, hash_: str, client: str, reason: str, by: str, now: datetime) -> int:
        """End its approvals: how many. `by`: an officer, or the account at this machine."""
        return len(list(await self._store.revoke(client, full(hash_), reason, by, now)))

    async def history(self, client: str | None) -> list[dict[str, str | None]]:
        """Every approval and every end of one (of a client's documents), with who did it, the earliest first."""
        documents = {(each.client, each.hash) for each in await self._store.registered(client)}
        found: list[tuple[datetime, dict[str, str | None]]] = []
        for its, hash_ in sorted(documents):
            for each in await self._store.approvals(its, hash_):
                about = {"client": its, "documentId": hash_, "purpose": each.purpose.name, "approver": each.approver}
                found.append((each.at, {**about, "event": "APPROVED", "actor": each.approver, "reason": None}))
                if each.ended_at is not None:
                    ended = {"event": "ENDED", "actor": each.ended_by, "reason": each.ended_because}
                    found.append((each.ended_at, {**about, **ended}))
        return [{"at": at.isoformat(), **told} for at, told in sorted(found, key=lambda each: each[0])]

    async def listed(self, client: str | None) -> list[Listed]:
        """Every registered document (of a client) and where it stands."""
        found = []
        for its in await self._store.registered(client):
            document = self._documents.take(its.text)
            if isinstance(document, Rejection):
                stands = Standing(State.INVALID, document.errors[0].message)
            else:
                approvals = await self._approvals(its.client, its.hash, its.purpose)
                stands = standing(self._readings.of(document), approvals, self._schema_hash)
            found.append(Listed(its, stands))
        return found


def full(hash_: str) -> str:
    """A document's id, with or without `sha256:`."""
    if not (match := HEX.fullmatch(hash_)):
        raise DocumentError("A document is named by sha256: and 64 hexadecimal digits, as `register` prints it.")
    return f"sha256:{match[1]}"


async def _fresh(_hash: str, _kept_until: datetime, _now: datetime) -> bool:
    """The proof was made here, a moment ago, for this check: it came for the first time."""
    return True


def key_of(content: bytes) -> Key:
    """The private key of a file, JWK or PEM."""
    kinds: tuple[Literal["EC", "OKP", "RSA"], ...] = ("EC", "OKP", "RSA")
    for kind in kinds:
        with suppress(JoseError, ValueError, TypeError, KeyError):
            key = import_key(json.loads(content) if content.lstrip().startswith(b"{") else content, kind)
            if key.is_private:
                return key
    raise DocumentError("The key file is no private key. Give the JWK or PEM of the key that the token is bound to.")


async def holder(token: str, issuer: str, audience: str, now: datetime, whose: str, key: Key | None = None) -> Viewer:
    """Whose access token it is; `key`: the private key of one that is bound to it (RFC 9449).

    Nobody sends either anywhere: they are checked and forgotten here.
    """
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
        keys = IssuerKeys(issuer, program.getting(http))
        check = TokenCheck(issuer, audience, keys, _fresh, bearer_allowed=True)
        try:
            if key is None:
                return await check.viewer(f"Bearer {token}", now)
            return await check.viewer(
                f"DPoP {token}", now, Shown(made(key, token, "POST", audience, now), "POST", audience)
            )
        except UnauthenticatedError as refused:
            raise DocumentError(f"{refused.description} Give {whose} fresh access token.") from refused
