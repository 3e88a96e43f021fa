"""Durable first: no receipt before the entry is on disk, and no data without a receipt.

One writer per process gathers what arrives for at most 2 ms or 256 entries, or until nobody else is under way, and
commits it in one transaction. When that fails, or takes longer than the limit, those who wait get LogUnavailable, and
so does everybody after them until a write has worked again on a new connection over a tail that was checked: a
connection that failed is never used twice, since a failed sync may have dropped what it was to write. After a time-out
the outcome is not known; the late commit may still land, which is allowed, as nothing was shown.

A receipt is the log's promise: an Ed25519 signature over `onestop/receipt/1`, the entry's id and its leaf hash in hex,
each followed by a line feed.
"""

import asyncio
import base64
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit import store
from audit.entry import Access, Entry, entry, leaf_hash, uuid7
from audit.keys import Keys, References, Vault
from audit.reading import Reading, require_sound_tail
from audit.searching import catch_up

T = TypeVar("T")
TURNS = 10
"""Of the loop: more than it takes from the news of a thread to the end of the work that waits for it."""


class LogUnavailable(Exception):
    """The entry may not be on disk, so nothing may be shown."""

    code = "LOG_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. `busy_ms` is how long another process may hold the store; keep it below the commit limit."""

    gather_s: float = 0.002
    gather_entries: int = 256
    commit_limit_s: float = 2.0
    retry_s: float = 0.5
    busy_ms: int = 1000


@dataclass(frozen=True, slots=True)
class Receipt:
    """Hashes in hex, the signature in base64."""

    entry_id: UUID
    leaf_index: int
    leaf_hash: str
    signature: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The entries of one call, and who waits for them. They are committed together."""

    entries: Sequence[Entry]
    receipts: "asyncio.Future[Sequence[Receipt]]"


def signed_part(entry_id: UUID | str, leaf_hash_hex: str) -> bytes:
    """The bytes a receipt signs."""
    return f"onestop/receipt/1\n{entry_id}\n{leaf_hash_hex}\n".encode()


def receipt(entry: Entry, leaf_index: int, key: Ed25519PrivateKey) -> Receipt:
    hashed = leaf_hash(entry.leaf).hex()
    signature = key.sign(signed_part(entry.id, hashed))
    return Receipt(entry.id, leaf_index, hashed, base64.b64encode(signature).decode())


class AccessLog:
    """Appends, and reads through `reading`. `healthy` is what readiness shows.

    `allowed` is asked before an entry is taken: whether others still vouch for the log, where that is wanted.
    `under_way` says how many operations may append, those that wait among them: when all of these do, none is waited
    for. Who does not say so is waited for.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        readers: AsyncEngine,
        keys: Keys,
        clock: Callable[[], datetime],
        settings: Settings,
    ) -> None:
        self.healthy = False
        self.allowed: Callable[[], bool] = lambda: True
        self.under_way: Callable[[], float] = lambda: math.inf
        self._engine = engine
        self._readers = readers
        self._keys = keys
        self._clock = clock
        self._settings = settings
        self._vault: Vault | None = None
        self._connection: AsyncConnection | None = None
        self._years: dict[int, References] = {}
        self._queue: deque[Waiting] = deque()
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._learning = asyncio.Lock()
        self._closing = False
        self._committing = False
        self._recovery: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        keys: Keys,
        clock: Callable[[], datetime],
        settings: Settings | None = None,
        read_url: str | None = None,
    ) -> AsyncIterator["AccessLog"]:
        """Make the store, or check the tail of the one that is there, and take entries until the end of the block.

        `read_url` is the same store for a role that only reads; without it the writer's own is read.

        What was appended before the end is committed. Raise StoreError, DamageError, or the database's own error.
        """
        settings = settings or Settings()
        engine, readers = store.writing_engine(url, settings.busy_ms), store.reading_engine(read_url or url)
        log = cls(engine, readers, keys, clock, settings)
        try:
            await log._connect()
            writer = asyncio.create_task(log._write())
            writer.add_done_callback(log._stop)
            try:
                yield log
            finally:
                log._closing = True
                log._arrived.set()
                log._full.set()
                await asyncio.wait({writer})
                await log._end()
            await writer
        finally:
            await readers.dispose()
            await engine.dispose()

    @property
    def epoch(self) -> str:
        """Which log it is."""
        return self._opened_vault.epoch

    @property
    def reading(self) -> Reading:
        return Reading(self._readers, self._opened_vault)

    async def append(self, accesses: Sequence[Access]) -> Sequence[Receipt]:
        """Receipts in the order of the accesses, after the one transaction that holds them all is on disk.

        Raise LogUnavailable when it may not be, ValueError for an access that has no canonical form. A caller who is
        cancelled does not cancel the write.
        """
        if not accesses:
            return ()
        self._require_open()
        unknown = {access.year for access in accesses} - self._years.keys()
        receipts = self._spawn(self._append_in(unknown, accesses)) if unknown else self._queued(accesses)
        return await asyncio.shield(receipts)

    async def _append_in(self, years: Iterable[int], accesses: Sequence[Access]) -> Sequence[Receipt]:
        """Append in years that may have no salt yet."""
        for year in years:
            await self._learn(year)
        self._require_open()
        return await self._queued(accesses)

    def _queued(self, accesses: Sequence[Access]) -> "asyncio.Future[Sequence[Receipt]]":
        """The receipts of accesses that wait to be committed from now on, whoever waits for them."""
        entries = [entry(access, uuid7(access.at), self._years[access.year]) for access in accesses]
        receipts: asyncio.Future[Sequence[Receipt]] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(entries, receipts))
        self._arrived.set()
        if self._are_all_here():
            self._full.set()
        return receipts

    def _are_all_here(self) -> bool:
        """Whether the queue makes a batch, or nobody is known to come."""
        size = sum(len(waiting.entries) for waiting in self._queue)
        return size >= self._settings.gather_entries or len(self._queue) >= self.under_way()

    def _require_open(self) -> None:
        if self._closing or not self.healthy or not self.allowed():
            raise LogUnavailable("the access log does not take entries now")

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            over = asyncio.get_running_loop().call_later(self._settings.gather_s, self._full.set)
            await self._full.wait()
            over.cancel()
            while batch := self._batch():
                try:
                    await self._release(batch)
                finally:
                    _refuse(batch, None)  # whoever has no receipt by now gets none
            if self._closing:
                return

    def _batch(self) -> list[Waiting]:
        """Whole calls, as many as fit; one that is larger than a batch goes alone."""
        batch: list[Waiting] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].entries) <= self._settings.gather_entries):
            size += len(self._queue[0].entries)
            batch.append(self._queue.popleft())
        if not self._queue and not self._closing:
            self._arrived.clear()
            self._full.clear()
        return batch

    async def _release(self, batch: list[Waiting]) -> None:
        connection = self._connection
        if connection is None:
            return
        entries = [entry for waiting in batch for entry in waiting.entries]
        self._committing = True
        commit = await self._limited(self._commit(connection, entries))
        self._committing = False
        failure = _failure(commit)
        if failure is None:
            receipts = iter(commit.result())
            for waiting in batch:
                waiting.receipts.set_result(list(islice(receipts, len(waiting.entries))))
            return
        self._connection = None  # closed by the commit, now or when it ends
        self._shut()
        _refuse([*batch, *self._queue], failure)
        self._queue.clear()

    async def _commit(self, connection: AsyncConnection, entries: Sequence[Entry]) -> list[Receipt]:
        try:
            indexes = await store.commit(connection, entries, self._opened_vault)
        except BaseException:
            await connection.close()
            raise
        if self._connection is not connection:  # too late: another one took its place
            await connection.close()
        return [receipt(*placed, self._keys.signing) for placed in zip(entries, indexes, strict=True)]

    def _shut(self) -> None:
        """Take nothing until a write has worked on another connection. One in use closes itself when it ends."""
        self.healthy = False
        idle = None if self._committing else self._connection
        self._connection = None
        if self._recovery is None or self._recovery.done():
            self._recovery = self._spawn(self._recover(idle))

    async def _recover(self, idle: AsyncConnection | None) -> None:
        if idle is not None:
            await asyncio.wait({self._spawn(idle.close())})
        while not self._closing:
            attempt = self._spawn(self._connect())
            await asyncio.wait({attempt})
            if _failure(attempt) is None:
                return
            await asyncio.sleep(self._settings.retry_s)

    async def _connect(self) -> None:
        """A new connection to a store that is durable, ours, sound at its tail, and on which a write has worked."""
        connection = await self._engine.connect()
        try:
            async with store.writing(connection):
                await store.require_durable(connection)
                now = self._clock()
                vault = self._same_log(await store.create(connection, now, self._keys.master))
                await require_sound_tail(connection, vault)
                await store.probe(connection, now)
                self._years = await store.references(connection, vault)
                await catch_up(connection, vault, self._years)
        except BaseException:
            await connection.close()
            raise
        self._vault, self._connection, self.healthy = vault, connection, True

    def _same_log(self, epoch: str) -> Vault:
        vault = self._vault or Vault(self._keys.master, epoch)
        if epoch != vault.epoch:
            raise store.StoreError("another log lies where this one was")
        return vault

    async def _learn(self, year: int) -> None:
        """Give a year its salt, or read the one that another process gave it. One of those who wait does it for all."""
        if year in self._years:
            return
        async with self._learning:
            if year in self._years:
                return
            self._require_open()  # the one before may have failed
            learning = await self._limited(self._new_year(year))
        if (failure := _failure(learning)) is not None:
            self._shut()
            raise LogUnavailable("the access log could not begin a year") from failure
        if year not in self._years:
            raise LogUnavailable("the salt of the year is gone or was changed")

    async def _new_year(self, year: int) -> None:
        async with self._engine.connect() as connection, store.writing(connection):
            await store.new_year(connection, self._opened_vault, year)
            years = await store.references(connection, self._opened_vault)
        self._years = years

    async def _limited(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """The task of the work when it ended or the limit passed; it is never cancelled, since a commit cannot be."""
        task = self._spawn(work)
        await asyncio.wait({task}, timeout=self._settings.commit_limit_s)
        for _ in range(TURNS):
            if task.done():
                break
            await asyncio.sleep(0)  # a loop that was busy for so long hears of the limit before it hears of the end
        return task

    def _spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits has seen it; a late one has nobody

    def _stop(self, _writer: "asyncio.Task[None]") -> None:
        """Without a writer nobody may wait, whether it ended as it should or not."""
        self._closing = True
        self.healthy = False
        _refuse(self._queue, None)
        self._queue.clear()

    async def _end(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.commit_limit_s)
        late = set(self._tasks)
        for task in late:
            task.cancel()
        if late:  # their connections close yet
            await asyncio.wait(late, timeout=self._settings.commit_limit_s)
        if self._connection is not None:
            await self._connection.close()

    @property
    def _opened_vault(self) -> Vault:
        if self._vault is None:
            raise LogUnavailable("the access log is not open")
        return self._vault


def _failure(task: "asyncio.Task[Any]") -> BaseException | None:
    return task.exception() if task.done() else TimeoutError("the access log took too long")


def _refuse(batch: Iterable[Waiting], failure: BaseException | None) -> None:
    for waiting in batch:
        if not waiting.receipts.done():
            refusal = LogUnavailable("the entries may not be on disk")
            refusal.__cause__ = failure
            waiting.receipts.set_exception(refusal)
