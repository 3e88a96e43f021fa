"""Proofs of possession that were taken (RFC 9449 §11.1), so that none is taken twice, by whatever worker.

A proof is kept before what it was shown for is answered. Those that come while others are being kept wait for them and
then share one statement, one transaction and one sync of the disk. The unique key decides for each: of two that are the
same, in whatever process, one is first.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import delete, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from cases import tables

SWEEP_EVERY = timedelta(seconds=30)
SWEEP_AT_ONCE = 20_000
"""Old proofs taken out at once: more than two workers' worth of a minute at 300 requests a second."""
KEEP_AT_ONCE = 256

KEEP_IN_SQLITE = (
    "INSERT OR IGNORE INTO proof (hash, kept_until) SELECT key, value FROM json_each(?) WHERE true RETURNING hash"
)
KEEP_IN_POSTGRESQL = text(
    "INSERT INTO proof (hash, kept_until) SELECT * FROM unnest(CAST(:hashes AS text[]), CAST(:until AS timestamptz[])) "
    "ON CONFLICT DO NOTHING RETURNING hash"
)
_IN_SQLITE: Any = tables.proof.c.kept_until.type.dialect_impl(sqlite.dialect()).bind_processor(sqlite.dialect())


@dataclass(frozen=True, slots=True)
class _Waiting:
    kept_until: datetime
    now: datetime
    first: asyncio.Future[bool]


class Proofs:
    """In the database of the cases."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # One statement is a transaction of its own: one way there and back, and not three.
        of_a_file = engine.dialect.name == "sqlite"  # where nothing is begun that was not said
        self._at_once = engine if of_a_file else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._waiting: dict[str, _Waiting] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._sweep_at = datetime.min.replace(tzinfo=UTC)

    async def first(self, hash_: str, kept_until: datetime, now: datetime) -> bool:
        """Whether this proof comes for the first time, to any worker. Raises OSError when nobody can tell."""
        if hash_ in self._waiting:
            return False  # the one that waits is before it, or nobody can tell and that one is refused as well
        waiting = self._waiting[hash_] = _Waiting(kept_until, now, asyncio.get_running_loop().create_future())
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        return await waiting.first

    async def _keep(self) -> None:
        """Keep what waits, and what comes meanwhile, until nothing does."""
        while self._waiting:
            hashes = sorted(self._waiting)[:KEEP_AT_ONCE]  # in one order, so that two workers never wait for each other
            batch = {each: self._waiting.pop(each) for each in hashes}
            failure = "proofs were not kept"
            try:
                first = await self._kept({each: waiting.kept_until for each, waiting in batch.items()})
                await self._sweep(max(waiting.now for waiting in batch.values()))
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                failure = type(error).__name__
            else:
                for each, waiting in batch.items():
                    if not waiting.first.done():
                        waiting.first.set_result(each in first)
            finally:  # whoever has no answer by now is refused
                for waiting in batch.values():
                    if not waiting.first.done():
                        waiting.first.set_exception(OSError(failure))

    async def _kept(self, until: Mapping[str, datetime]) -> set[str]:
        """Those that were not there before."""
        async with self._at_once.connect() as connection:
            if connection.dialect.name != "sqlite":
                values = {"hashes": list(until), "until": list(until.values())}
                return set((await connection.execute(KEEP_IN_POSTGRESQL, values)).scalars())
            # Said to the driver, it is one hand-over to its thread and not seven.
            driver: Any = (await connection.get_raw_connection()).driver_connection
            said = orjson.dumps({each: _IN_SQLITE(at) for each, at in until.items()}).decode()
            return {hash_ for (hash_,) in await driver.execute_fetchall(KEEP_IN_SQLITE, (said,))}

    async def _sweep(self, now: datetime) -> None:
        """Take out what is too old anyway, if it is time again."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_EVERY
        proof = tables.proof
        # Two workers that sweep leave each other's rows alone, so that neither waits.
        old = select(proof.c.hash).where(proof.c.kept_until < now).limit(SWEEP_AT_ONCE)
        async with self._engine.begin() as connection:
            await connection.execute(delete(proof).where(proof.c.hash.in_(old.with_for_update(skip_locked=True))))
