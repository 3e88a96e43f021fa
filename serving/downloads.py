"""A person's access log to keep: GET /access-log.json and /access-log.pdf, with the token that /graphql takes.

The graph is asked, so that the file has what `accessLog` (or, with `case`, `Case.accessLog`) shows and no more, and the
taking out is an entry of its own. Each entry comes with its proof, which holds offline; one made while another person's
case was handled has its place in the tree only, since what its leaf commits to would tell of that case.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from audit.proof import BUNDLE, proof
from audit.store import Placed
from audit.tiles import Covered, Published
from audit.writer import receipt
from resolvers.house import House
from resolvers.log import EXPORTED
from schema.text import Language
from serving.endpoint import Refused
from serving.question import NO_STORE, Question, guarded, logged

TOLD: Final = """
fragment Page on AccessEntryConnection {
  pageInfo { hasNextPage endCursor }
  edges { node {
    id at actor { kind kindLabel(language: $language) agency pseudonym } client caseNumber
    purpose purposeLabel(language: $language) legalBasis operationName documentHash
    task taskLabel(language: $language) outcome outcomeLabel(language: $language) reduced
    disclosed { ...Fields } withheld { ...Fields } integrity { leafIndex leafHash }
  } }
}
fragment Fields on AccessedFields {
  agency agencyLabel(language: $language) type typeLabel(language: $language)
  coordinates labels(language: $language) records maxSensitivity
}
"""
OWN: Final = (
    """query AccessLogDownload($language: Language!, $filter: AccessFilter!, $first: Int!, $after: String) {
  accessLog(filter: $filter, first: $first, after: $after) { ...Page }
}"""
    + TOLD
)
OF_CASE: Final = (
    """query CaseLogDownload($language: Language!, $case: ID!, $first: Int!, $after: String) {
  node(id: $case) { ... on Case { accessLog(first: $first, after: $after) { ...Page } } }
}"""
    + TOLD
)
PARAMETERS: Final = frozenset({"language", "from", "until", "first", "after", "case"})
QUALITY: Final = re.compile(r"[01](\.[0-9]{0,3})?")
PRINTED: Final = 200
"""Entries in one PDF at most: about 40 pages."""
NOT_YET: Final = "No checkpoint covers the entry yet. Download it again in a few seconds."
ANOTHERS: Final = "The entry was made in another person's case, and its proof would tell of that case."


class Downloads:
    """The access log as files."""

    def __init__(
        self, schema: GraphQLSchema, house: House, published: Published, key: Ed25519PrivateKey, origin: str | None
    ) -> None:
        self._own = Question(schema, house, OWN, origin)
        self._of_case = Question(schema, house, OF_CASE, origin)
        self._house = house
        self._published = published
        self._key = key

    def routes(self) -> list[Route]:
        return [
            Route("/access-log.json", guarded(self._json)),
            Route("/access-log.pdf", guarded(self._pdf)),
        ]

    async def _json(self, request: Request) -> Response:
        _, _, file, noted = await self._file(request, EXPORTED)
        return _attached(file, "access-log.json", "application/json", noted)

    async def _pdf(self, request: Request) -> Response:
        told, entries, file, noted = await self._file(request, PRINTED)
        printed = await asyncio.to_thread(_printed, entries, told, file, Language[told["language"]])
        return _attached(printed, "access-log.pdf", "application/pdf", noted)

    async def _file(
        self, request: Request, most: int
    ) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]], bytes, dict[str, str]]:
        """What the file says of itself, its entries, its bytes, and the headers that name the entries it left."""
        given = parameters(request, PARAMETERS)
        language = spoken(request, given)
        question, variables = self._own, {"language": language.name, "first": count(given, "first", most, most)}
        variables["after"] = given.get("after")
        if "case" in given:
            question, variables["case"] = self._of_case, given["case"]
            for name in sorted({"from", "until"} & given.keys()):
                raise Refused(400, f"{name}: Leave it out together with case.", field=name)
        else:
            variables["filter"] = {name: instant(given, name) for name in ("from", "until")}
        reply = await question.answer(request, variables, exports=True)
        answer = orjson.loads(orjson.dumps(reply.data))
        page = answer["node"]["accessLog"] if "node" in answer else answer["accessLog"]
        entries = [edge["node"] for edge in page["edges"]]
        covered = await self._proven(entries)
        told = {
            "format": BUNDLE,
            "language": language.name,
            "madeAt": self._house.clock(),
            "from": given.get("from"),
            "until": given.get("until"),
            "next": page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None,
            "key": self._published.key.text,
            "checkpoint": next((each.note for each in covered if each is not None), None),
        }
        file = orjson.dumps(told | {"entries": entries}, option=orjson.OPT_APPEND_NEWLINE)
        return told, entries, file, logged(reply)

    async def _proven(self, entries: Sequence[dict[str, Any]]) -> Sequence[Covered | None]:
        """Add to each entry its place in the tree, and its proof or why there is none."""
        placed = await self._house.log.reading.entries([entry["id"] for entry in entries])
        leaves = [
            (int(each["integrity"]["leafIndex"]), bytes.fromhex(each["integrity"]["leafHash"])) for each in entries
        ]
        covered = await asyncio.to_thread(self._published.covered, leaves)
        for entry, found in zip(entries, covered, strict=True):
            entry["integrity"] |= {
                "checkpoint": None if found is None else found.note,
                "inclusionProof": None if found is None else [each.hex() for each in found.path],
            }
            why = ANOTHERS if entry["reduced"] else NOT_YET if found is None or entry["id"] not in placed else None
            entry["proof"] = None if why or found is None else self._proof(placed[entry["id"]], found)
            entry["whyNoProof"] = why
        return covered

    def _proof(self, placed: Placed, covered: Covered) -> orjson.Fragment:
        signed = receipt(placed.entry, placed.leaf_index, self._key)
        return orjson.Fragment(proof(placed.entry, covered, signed, self._published.key))


def _printed(entries: Sequence[Mapping[str, Any]], told: Mapping[str, Any], file: bytes, language: Language) -> bytes:
    from serving.paper import paper  # noqa: PLC0415 - with its fonts an eighth of a worker, and few print

    return paper(entries, told, file, language)


def _attached(file: bytes, name: str, media_type: str, noted: dict[str, str]) -> Response:
    named = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(file, headers=NO_STORE | noted | named, media_type=media_type)


def parameters(request: Request, known: frozenset[str]) -> dict[str, str]:
    """The parameters of the address, each once and none that nobody reads."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Refused(400, f"There is no such parameter. Use {', '.join(sorted(known))}.", field=name[:64])
        if name in given:
            raise Refused(400, f"{name}: Give it once.", field=name)
        given[name] = value
    return given


def instant(given: Mapping[str, str], name: str) -> str | None:
    """A moment with its offset (RFC 3339), as the graph takes it."""
    if name not in given:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        at = datetime.fromisoformat(given[name].replace(" ", "+"))
        utc = None if at.tzinfo is None else at.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        utc = None
    if utc is None:
        raise Refused(400, f"{name}: Give a moment with its offset, such as 2026-03-01T00:00:00Z.", field=name)
    return utc


def count(given: Mapping[str, str], name: str, otherwise: int, most: int, least: int = 1) -> int:
    """A whole number within bounds."""
    said = given.get(name, str(otherwise))
    if not (said.isascii() and said.isdigit() and len(said) < 10 and least <= int(said) <= most):
        raise Refused(400, f"{name}: Give a whole number from {least} to {most}.", field=name)
    return int(said)


def spoken(request: Request, given: Mapping[str, str]) -> Language:
    """The language asked for: `language`, else the better liked of Accept-Language, else Korean."""
    if "language" in given:
        try:
            return Language[given["language"].upper()]
        except KeyError:
            raise Refused(400, "language: Use ko or en.", field="language") from None
    liked = {"ko": 0.0, "en": 0.0}
    for each in request.headers.get("accept-language", "").split(","):
        tag, _, q = each.strip().lower().partition(";q=")
        name = tag.split("-")[0]
        if name in liked and QUALITY.fullmatch(q or "1"):
            liked[name] = max(liked[name], float(q or "1"))
    return Language.EN if liked["en"] > liked["ko"] else Language.KO
