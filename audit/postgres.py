"""The access log on PostgreSQL: entries in a partition per month, and three roles that may do different things.

The owner makes the tables, brings them up to date, drops months and destroys keys. The writer may read and insert, and
make a month's partition through one function that runs as the owner; it can neither change nor delete, nor truncate,
nor switch a trigger off. The reader reads. docs/access-log-store.md says how to set them up.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

WRITER, READER = "writer", "reader"
MANY = 64
"""So many rows are copied, not inserted."""
KNOWN_MONTHS = "onestop_months"
"""Where a connection remembers the months that it has seen a partition of."""

REFUSE = (
    "CREATE OR REPLACE FUNCTION onestop_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the access log is append only'; END $$"
)
# A version and an epoch stay; the moment of the last probe is written over and over.
META_STAYS = (
    "CREATE TRIGGER meta_stays BEFORE UPDATE OR DELETE ON meta FOR EACH ROW "
    "WHEN (OLD.name <> 'last_probe') EXECUTE FUNCTION onestop_append_only()"
)
ID_OF_ITS_MOMENT = "('x' || left(id, 8) || substr(id, 10, 4))::bit(48)::bigint = at_us / 1000"
# LIKE and ATTACH instead of PARTITION OF: that would shut out whoever reads the log at this moment.
# The id says the moment of the access to the millisecond, so one id fits one partition only and is unique within it.
MONTH = """
CREATE OR REPLACE FUNCTION onestop_log_month(month integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
  part text := 'entry_' || month;
  since timestamp;
BEGIN
  IF to_regclass('{schema}.' || part) IS NOT NULL THEN RETURN; END IF;
  IF month NOT BETWEEN 197001 AND 299912 OR month % 100 NOT BETWEEN 1 AND 12 THEN
    RAISE EXCEPTION '% is no month', month;
  END IF;
  since := make_timestamp(month / 100, month % 100, 1, 0, 0, 0);
  EXECUTE format('CREATE TABLE {schema}.%I (LIKE {schema}.entry INCLUDING ALL)', part);
  EXECUTE format('ALTER TABLE {schema}.%I ADD UNIQUE (id), ADD CONSTRAINT id_of_its_moment CHECK (%s)', part,
    {id_of_its_moment});
  EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.%I '
    'FOR EACH STATEMENT EXECUTE FUNCTION {schema}.onestop_append_only()', part || '_append_only', part);
  EXECUTE format('ALTER TABLE {schema}.entry ATTACH PARTITION {schema}.%I FOR VALUES FROM (%s) TO (%s)', part,
    (extract(epoch FROM since) * 1000000)::bigint,
    (extract(epoch FROM since + interval '1 month') * 1000000)::bigint);
END $$
"""
ONLY_WHO_IS_GRANTED = (
    "REVOKE ALL ON FUNCTION onestop_log_month(integer) FROM PUBLIC",
    "REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC",
)
GRANTS: Mapping[str, tuple[str, ...]] = {
    WRITER: (
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT SELECT, INSERT ON leaf, selection, entry, year_key, person_key, facet, entry_facet TO {role}",
        "GRANT SELECT ON meta, dropped_month, erased_key TO {role}",
        "GRANT UPDATE (value) ON meta TO {role}",
        "GRANT EXECUTE ON FUNCTION onestop_log_month(integer) TO {role}",
    ),
    READER: (
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    ),
}


def partitioned(entry: Table) -> Table:
    """The table of entries as PostgreSQL has it: by month of the access, with the moment in the primary key."""
    return Table(
        entry.name,
        MetaData(),
        *(Column(column.name, column.type, nullable=column.nullable, autoincrement=False) for column in entry.c),
        PrimaryKeyConstraint("leaf_index", "at_us"),
        *(ForeignKeyConstraint([key.parent.name], [key.column]) for key in entry.foreign_keys),
        *(Index(index.name, *(column.name for column in index.columns)) for index in entry.indexes),
        postgresql_partition_by="RANGE (at_us)",
    )


def month_function(where: str) -> str:
    """The function that makes a month's partition in a schema, whose name is quoted."""
    quoted = "'" + ID_OF_ITS_MOMENT.replace("'", "''") + "'"
    return MONTH.replace("{schema}", where).replace("{id_of_its_moment}", quoted)


async def schema(connection: AsyncConnection) -> str:
    """The schema that the log lies in, quoted."""
    asked = text("SELECT quote_ident(current_schema())")
    found: str = (await connection.execute(asked)).scalar_one()
    return found


async def make_functions(connection: AsyncConnection) -> None:
    for statement in (REFUSE, month_function(await schema(connection)), ONLY_WHO_IS_GRANTED[0]):
        await _run(connection, statement)


def known_months(connection: AsyncConnection) -> set[int]:
    """Those that this connection has seen a partition of."""
    known: set[int] = connection.info.setdefault(KNOWN_MONTHS, set())
    return known


async def make_months(connection: AsyncConnection, months: Iterable[int]) -> None:
    """See to it that these months have a partition. Nothing is asked twice on one connection."""
    known = known_months(connection)
    for month in set(months) - known:
        await connection.execute(text("SELECT onestop_log_month(:month)"), {"month": month})
        known.add(month)


async def driver_of(connection: AsyncConnection) -> Any:
    """The driver's own connection: what goes through it is one way there and back, and no more."""
    return (await connection.get_raw_connection()).driver_connection


@asynccontextmanager
async def transaction(driver: Any, lock: int) -> AsyncIterator[None]:
    """One transaction under an advisory lock, on disk at the end. After an error it is open: close the connection."""
    await driver.execute(f"BEGIN; SELECT pg_advisory_xact_lock({lock})")
    yield
    await driver.execute("COMMIT;")


async def make_months_there(driver: Any, months: Iterable[int], known: set[int]) -> None:
    """`make_months`, on the driver's connection."""
    for month in set(months) - known:
        await driver.execute(f"SELECT onestop_log_month({int(month)})")
        known.add(month)


async def insert_in(driver: Any, into: Table, rows: Sequence[Mapping[str, object]], *, or_ignore: bool = False) -> None:
    """Insert rows in the transaction that runs: many by COPY, half the time of an executemany for 256 entries.

    A few go sooner without: COPY is two ways there and back.
    """
    names = [column.name for column in into.c]
    records = [[row[name] for name in names] for row in rows]
    if len(records) >= MANY and not or_ignore:
        await driver.copy_records_to_table(into.name, columns=names, records=records)
    elif records:
        places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
        rest = " ON CONFLICT DO NOTHING" if or_ignore else ""
        await driver.executemany(
            f"INSERT INTO {into.name} ({', '.join(names)}) VALUES ({places}){rest}",  # noqa: S608 - our own names
            records,
        )


def months_ahead(now: datetime) -> tuple[int, int]:
    """This month and the next, yyyymm in UTC."""
    at = now.astimezone(UTC)
    this = at.year * 100 + at.month
    return this, this + (1 if at.month < 12 else 89)


async def grant(connection: AsyncConnection, power: str, url: URL) -> None:
    """Give the role of a URL what a writer or a reader needs and nothing more; make the role where there is none."""
    ident = connection.dialect.identifier_preparer.quote_identifier
    role = ident(url.username or "")
    exists = text("SELECT 1 FROM pg_roles WHERE rolname = :name")
    if (await connection.execute(exists, {"name": url.username})).first() is None:
        secret = "NULL" if url.password is None else "'" + str(url.password).replace("'", "''") + "'"
        await _run(connection, f"CREATE ROLE {role} LOGIN PASSWORD {secret}")
    where = await schema(connection)
    await _run(connection, ONLY_WHO_IS_GRANTED[1].format(schema=where))
    await _run(connection, f"REVOKE ALL ON ALL TABLES IN SCHEMA {where} FROM {role}")
    for statement in GRANTS[power]:
        await _run(connection, statement.format(schema=where, role=role))
    if power == READER:  # partitions and tables to come
        await _run(connection, f"ALTER DEFAULT PRIVILEGES IN SCHEMA {where} GRANT SELECT ON TABLES TO {role}")


async def month_partitions(connection: AsyncConnection) -> list[int]:
    asked = text(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = to_regclass('entry') ORDER BY relname"
    )
    return [int(name.rpartition("_")[2]) for name in (await connection.execute(asked)).scalars()]


async def drop_month(connection: AsyncConnection, month: int) -> None:
    await _run(connection, f"DROP TABLE IF EXISTS entry_{int(month)}")


async def _run(connection: AsyncConnection, statement: str) -> None:
    await connection.exec_driver_sql(statement)
