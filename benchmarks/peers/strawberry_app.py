"""Plain Strawberry as documented, with aiohttp, the parser's and the validation's caches on and orjson for the reply.

Types are made from the agencies' SDL (AGENCIES), so that it is the peers' schema.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import strawberry
from starlette.applications import Starlette
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

AGENCIES = json.loads(Path(os.environ["AGENCIES"]).read_text())["agencies"]
PYTHON = {"ID": strawberry.ID, "String": str, "Int": int, "Boolean": bool}
state: dict[str, aiohttp.ClientSession] = {}


@strawberry.type
class Institution:
    code: str
    name: str


def made(name: str, fields: dict[str, str]) -> Any:
    """A record's type."""
    known = {**PYTHON, "Institution": Institution}
    types = {
        each: known[kind.rstrip("!")] if kind.endswith("!") else known[kind] | None for each, kind in fields.items()
    }
    return strawberry.type(type(name, (), {"__annotations__": types}))


def asking(holds: str, port: int, record: Any) -> Any:
    """One root field."""

    async def resolver(person: strawberry.ID) -> Any:
        async with state["http"].get(f"http://127.0.0.1:{port}/", params={"person": person}) as reply:
            rows = orjson.loads(await reply.read())["data"][holds]
        if "institution" in record.__annotations__:
            rows = [row | {"institution": Institution(**row["institution"])} for row in rows]
        return [record(**row) for row in rows]

    resolver.__annotations__["return"] = list[record]
    return strawberry.field(resolver=resolver)


fields = {each["holds"]: asking(each["holds"], each["port"], made(each["type"], each["fields"])) for each in AGENCIES}
schema = strawberry.Schema(
    strawberry.type(type("Query", (), {"__annotations__": {}, **fields})),
    config=StrawberryConfig(auto_camel_case=False),
    extensions=[ParserCache(maxsize=256), ValidationCache(maxsize=256)],
)


class App(GraphQL):  # type: ignore[type-arg]
    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=400, keepalive_timeout=60)) as session:
        state["http"] = session
        yield


app = Starlette(lifespan=lifespan)
app.add_route("/graphql", App(schema, graphql_ide=None))
