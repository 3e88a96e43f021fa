"""What the store must be besides its rows: columns, keys, indexes and the triggers that let it only grow.

A missing index would hide entries from whoever looks them up, a missing trigger lets the next change through. SQLite is
compared with a store made in memory; PostgreSQL is asked for what the program makes there.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import create_engine

from audit import postgres, store
from audit.checking import Row, Rows

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
DEFINED = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view', 'index') AND sql IS NOT NULL"
COLUMNS = 'SELECT name, upper(type), "notnull", pk FROM pragma_table_xinfo($1)'
UNIQUE = "SELECT i.name FROM pragma_index_list($1) AS l, pragma_index_info(l.name) AS i WHERE l.origin = 'u'"
REFERRED = 'SELECT "from", "table", "to" FROM pragma_foreign_key_list($1)'

Definitions = dict[tuple[str, str], object]
"""By kind and name, whatever two stores can be compared by."""


def differences(rows: Rows, *, served: bool) -> list[str]:
    """In words, what is missing, changed or added."""
    return _postgres(rows) if served else _sqlite(rows)


def _sqlite(rows: Rows) -> list[str]:
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            store.metadata.create_all(connection)
            for trigger in store.TRIGGERS["sqlite"]:
                connection.exec_driver_sql(trigger)

            def made(sql: str, *passed: object) -> Sequence[Row]:
                named = {str(at): value for at, value in enumerate(passed, 1)}
                return connection.exec_driver_sql(sql, named).fetchall()

            wanted, found = _defined(made), _defined(rows.ask)
    finally:
        engine.dispose()
    changed = [name for name in wanted if wanted[name] != found.get(name)]
    # A further index or table tells nothing untrue; a further trigger or view may.
    added = [name for name in found if name not in wanted and name[0] in {"trigger", "view"}]
    return [f"the {kind} {name} is missing or was changed" for kind, name in changed] + [
        f"the {kind} {name} is none of the log's" for kind, name in added
    ]


def _defined(ask: Callable[..., Sequence[Row]]) -> Definitions:
    found: Definitions = {(kind, name): " ".join(sql.split()) for kind, name, sql in ask(DEFINED)}
    for (table,) in ask(TABLES):
        found["table", table] = [sorted(tuple(row) for row in ask(sql, table)) for sql in (COLUMNS, UNIQUE, REFERRED)]
    return found


def _postgres(rows: Rows) -> list[str]:
    wanted = {("table", table.name) for table in store.metadata.sorted_tables}
    wanted |= {("index", str(index.name)) for table in store.metadata.sorted_tables for index in table.indexes}
    wanted |= {("primary key of", table.name) for table in store.metadata.sorted_tables}
    wanted |= {("trigger", f"{table.name}_append_only") for table in store.KEPT}
    found = {(kind, name) for kind, name in rows.ask(SERVED)}
    missing = [f"the {kind} {name} is missing, switched off or was changed" for kind, name in sorted(wanted - found)]
    bodies = [row[0] for row in rows.ask("SELECT prosrc FROM pg_proc WHERE proname = 'onestop_append_only'")]
    if not bodies or any(f"$${body}$$" not in postgres.REFUSE for body in bodies):
        missing.append("the function that refuses changes is missing or was changed")
    return missing


SERVED = """
SELECT 'table', c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
UNION ALL SELECT 'index', c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND i.indisvalid AND i.indisready
UNION ALL SELECT 'primary key of', conrelid::regclass::text FROM pg_constraint WHERE contype = 'p'
UNION ALL SELECT 'trigger', t.tgname::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND p.proname = 'onestop_append_only' AND t.tgtype & 58 = 58
"""
