"""What an entry costs, and how fast entries come and go: `python benchmarks/scale.py [ENTRIES] [POSTGRESQL_URL]`.

Writes so many entries through the program's own writer (64 callers at once, each waiting for its receipt, which is
after the sync), then prints bytes per entry in the store and as compacted Parquet, entries a second of one writer, of
the compaction, and of `onestop log verify`. The accesses are those of benchmarks/verify_log.py.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from verify_log import MASTER, START, access

from audit import store
from audit.archive import compact
from audit.keys import Keys
from audit.reading import Reading
from audit.verifying import verify
from audit.writer import AccessLog

CALLERS = 64
KEYS = Keys(MASTER, Ed25519PrivateKey.from_private_bytes(bytes(32)))


async def written(url: str, entries: int) -> float:
    """Seconds."""
    chance = random.Random(7)  # noqa: S311 - the same accesses each time
    waiting = iter([access(at, chance, entries // 8) for at in range(entries)])

    async with AccessLog.open(url, KEYS, lambda: START) as log:

        async def caller() -> None:
            for each in waiting:
                await log.append([each])

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return time.perf_counter() - began


async def stored(url: str) -> int:
    """Bytes of the whole store, indexes and keys included."""
    if url.startswith("sqlite"):
        file = Path(url.partition(":///")[2])
        return sum(each.stat().st_size for each in file.parent.glob(file.name + "*"))
    engine = store.reading_engine(url)
    async with engine.connect() as connection:
        size: int = (await connection.execute(text("SELECT pg_database_size(current_database())"))).scalar_one()
    await engine.dispose()
    return size


async def compacted(url: str, folder: Path) -> tuple[int, int, float]:
    """Bytes, those of the columns to look up by, and seconds."""
    began = time.perf_counter()
    async with Reading.open(url, MASTER) as reading:
        month = START.year * 100 + START.month
        made = await compact(reading.engine, "benchmark", month, folder, KEYS.signing, datetime(2027, 1, 1, tzinfo=UTC))
    seconds = time.perf_counter() - began
    open_columns = pl.read_parquet(folder / "*" / "*.parquet").drop("leaf", "id", "person_part", "staff_part")
    open_columns.write_parquet(folder / "open", compression="zstd")
    return sum(file.bytes for file in made.manifest.files), (folder / "open").stat().st_size, seconds


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory() as folder:
        urls = [f"sqlite+aiosqlite:///{folder}/log.db", *sys.argv[2:3]]
        print(f"{entries} entries, {CALLERS} callers, {os.cpu_count()} processors")
        for number, url in enumerate(urls):
            empty = 0 if number == 0 else asyncio.run(stored(url))
            seconds = asyncio.run(written(url, entries))
            size = asyncio.run(stored(url)) - empty
            parquet, open_columns, compacting = asyncio.run(compacted(url, Path(folder) / str(number)))
            checking = timed(lambda url=url: verify(url, MASTER))  # type: ignore[misc]
            print(
                f"{url.partition(':')[0]}: {size / entries:.0f} bytes an entry, as Parquet {parquet / entries:.0f}, "
                f"of which {open_columns / entries:.0f} to look up by; "
                f"{entries / seconds:.0f} entries/s written, {entries / compacting:.0f} compacted, "
                f"{entries / checking:.0f} verified"
            )


if __name__ == "__main__":
    main()
