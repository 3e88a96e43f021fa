"""`python -m tests.drills.wrong VARIANT serve …`: onestop with one deliberate fault, to see that the drills see it."""

import asyncio
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

import app
from audit import store
from audit.entry import Entry
from audit.writer import AccessLog, Receipt, Waiting, receipt


def normal() -> None:
    """A commit that is not synced: `synchronous=NORMAL`, and nobody asks."""
    prepare = store._prepare_sqlite

    def careless(engine: Any, pragmas: Sequence[str], begin: str) -> None:
        prepare(engine, [each.replace("synchronous=FULL", "synchronous=NORMAL") for each in pragmas], begin)

    async def ask_nothing(_connection: Any) -> None:
        pass

    store._prepare_sqlite = careless
    store.require_durable = ask_nothing


def early() -> None:
    """Answers go before the commit has ended."""

    async def release(log: AccessLog, batch: list[Waiting]) -> None:
        for waiting in batch:
            waiting.receipts.set_result([receipt(each, 0, log._keys.signing) for each in waiting.entries])
        await asyncio.sleep(0.02)
        if log._connection is not None:
            await log._commit(log._connection, [entry for waiting in batch for entry in waiting.entries])

    AccessLog._release = release  # type: ignore[method-assign]


def swallow() -> None:
    """A commit that failed counts as one that worked."""
    commit = AccessLog._commit

    async def swallowing(log: AccessLog, connection: Any, entries: Sequence[Entry]) -> list[Receipt]:
        try:
            return await commit(log, connection, entries)
        except Exception:  # noqa: BLE001 - the fault that is wanted
            log._connection = await log._engine.connect()
            return [receipt(each, 0, log._keys.signing) for each in islice(entries, len(entries))]

    AccessLog._commit = swallowing  # type: ignore[method-assign]


if __name__ == "__main__":
    {"normal": normal, "early": early, "swallow": swallow}[sys.argv.pop(1)]()
    app.main()
