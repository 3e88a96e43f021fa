"""A small graph behind the real endpoint, for tests: as objects, and as a program that serves it.

`python program.py [--workers N] [--production] [--fail-at-start]` prints READY and its address, then serves.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator

import graphql
import strawberry
from starlette.applications import Starlette
from starlette.routing import Route

from resolvers.documents import Documents, Limits
from resolvers.operation_types import Asked, Reply
from serving import graphiql, logs, server
from serving.drain import Drain
from serving.endpoint import Endpoint
from serving.health import Health
from serving.listening import bound, url_of
from serving.metrics import Metrics, admin


@strawberry.type
class Parcel:
    id: strawberry.ID
    address: str
    around: list["Parcel"] = strawberry.field(default_factory=list)


@strawberry.type
class Query:
    hello: str = "annyeong"

    @strawberry.field
    def broken(self) -> str | None:
        raise graphql.GraphQLError("not now")

    @strawberry.field
    def parcels(self, first: int = 50) -> list[Parcel]:
        return [Parcel(id=strawberry.ID("1"), address="세종로 1")][:first]

    @strawberry.field
    async def slow(self, info: strawberry.Info) -> str:
        engine: FakeEngine = info.context
        engine.entered.set()
        await engine.released.wait()
        engine.finished.set()
        return "done"

    @strawberry.field
    async def last(self, info: strawberry.Info) -> str:
        engine: FakeEngine = info.context
        await engine.drain.wait()
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self) -> bool:
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self, count: int) -> AsyncGenerator[int, None]:
        for n in range(count):
            yield n

    @strawberry.subscription
    async def silence(self, info: strawberry.Info) -> AsyncGenerator[int, None]:
        engine: FakeEngine = info.context
        try:
            engine.entered.set()
            await engine.released.wait()
            yield 1
        finally:
            engine.finished.set()

    @strawberry.subscription
    async def breaks(self) -> AsyncGenerator[int, None]:
        yield 1
        raise RuntimeError("a person's name")


schema = strawberry.Schema(Query, Mutation, Subscription)
core_schema: graphql.GraphQLSchema = schema._schema


class FakeEngine:
    """Executes with graphql-core. A token may say how to reply instead: `Bearer 401`, `Bearer break`."""

    def __init__(self, limits: Limits | None = None, registered: dict[str, str] | None = None) -> None:
        async def text(document_id: str) -> str | None:
            return (registered or {}).get(document_id)

        self.documents = Documents(core_schema, limits or Limits(), registered=text)
        self.drain = Drain()
        self.asked: list[Asked] = []
        self.entered = asyncio.Event()
        self.released = asyncio.Event()
        self.finished = asyncio.Event()

    async def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        refused = self._refused(asked)
        if refused is not None:
            return refused
        result = graphql.execute(
            core_schema,
            asked.document.node,
            Query(),
            self,
            asked.variables,
            asked.operation_name,
        )
        return _reply(await result if asyncio.iscoroutine(result) else result)

    async def subscribe(self, asked: Asked) -> Reply | AsyncIterator[Reply]:
        self.asked.append(asked)
        refused = self._refused(asked)
        if refused is not None:
            return refused
        source = await graphql.subscribe(
            core_schema, asked.document.node, None, self, asked.variables, asked.operation_name
        )
        return _reply(source) if isinstance(source, graphql.ExecutionResult) else _replies(source)

    def _refused(self, asked: Asked) -> Reply | None:
        said = (asked.authorization or "").removeprefix("Bearer ")
        if said == "break":
            raise RuntimeError("a person's name")
        if not said.isdecimal():
            return None
        code, headers = {
            "401": ("UNAUTHENTICATED", {"WWW-Authenticate": 'DPoP error="invalid_token"'}),
            "429": ("RATE_LIMITED", {"Retry-After": "7"}),
            "503": ("LOG_UNAVAILABLE", {"Retry-After": "2"}),
        }[said]
        errors = [{"message": "no", "extensions": {"code": code}}]
        return Reply(None, has_data=False, errors=errors, status=int(said), headers=headers)


async def _replies(source: AsyncIterator[graphql.ExecutionResult]) -> AsyncIterator[Reply]:
    try:
        async for result in source:
            if result.errors and result.errors[0].original_error is not None:
                raise result.errors[0].original_error
            yield _reply(result)
    finally:
        await source.aclose()


def _reply(result: graphql.ExecutionResult) -> Reply:
    errors = [error.formatted for error in result.errors or []]
    if result.data is None and all(error.path is None for error in result.errors or []):
        return Reply(None, has_data=False, errors=[{**e, "extensions": {"code": "BAD_INPUT"}} for e in errors])
    return Reply(result.data, has_data=True, errors=errors, entry_ids=("e-1", "e-2"), extensions={"access": {}})


def application(drain: Drain, *, production: bool = False) -> Starlette:
    metrics = Metrics()
    page = None if production else graphiql.page()
    engine = FakeEngine()
    engine.drain = drain
    endpoint = Endpoint(engine, limits=Limits(), metrics=metrics, drain=drain, page=page)

    async def works() -> bool:
        return True

    health = Health({"log": works, "database": works, "keys": works}, {"LAND": works}, drain)
    return Starlette(
        routes=[Route("/graphql", endpoint), *health.routes(), *([] if production else [graphiql.files()])]
    )


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--admin", type=int)
    arguments.add_argument("--production", action="store_true")
    arguments.add_argument("--fail-at-start", action="store_true")
    given = arguments.parse_args()
    logs.configure()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    def made(drain: Drain) -> Starlette:
        if given.fail_at_start:
            sys.exit(server.START_FAILED)
        return application(drain, production=given.production)

    beside = None if given.admin is None else (admin(Metrics()), "127.0.0.1", given.admin)
    with bound("127.0.0.1", given.port) as listener:
        return server.run(
            made,
            listener,
            url_of(listener, "127.0.0.1"),
            lambda url: sys.stdout.write(f"READY {url}\n"),
            workers=given.workers,
            admin=beside,
        )


if __name__ == "__main__":
    sys.exit(main())
