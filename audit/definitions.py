"""What the store must be besides its rows: columns, keys, indexes and the triggers that let it only grow.

A missing index would hide entries from whoever looks them up, a missing trigger lets the next change through. SQLite is
compared with a store made in memory; PostgreSQL is asked for what the program makes there.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Table, create_engine
from sqlalchemy.dialects import postgresql

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
    found = {" ".join(row) for row in rows.ask(SERVED, BARE)}
    parts = [row[0] for row in rows.ask(PARTITIONS)]
    tables = {table.name: postgres.partitioned(table) if table is store.ENTRY else table for table in store.KEPT}
    tables |= {table.name: table for table in store.metadata.sorted_tables if table.name not in tables}
    wanted = {f"table {name}" for name in (*tables, *parts)}
    for name, table in (*tables.items(), *((part, tables["entry"]) for part in parts)):
        wanted |= {f"{what} of {name}" for what in _of_table(table)}
    for part in parts:
        wanted |= {f"{what} of {part}" for what in ("constraint UNIQUE (id)", f"constraint CHECK {ID_OF_ITS_MOMENT}")}
    guarded = [*(table.name for table in store.KEPT), *parts]
    triggers = {f"trigger {name}_append_only of {name}" for name in guarded} | {"trigger meta_stays of meta"}
    wanted |= triggers
    changed = [f"the {what} is missing, switched off or was changed" for what in sorted(wanted - found)]
    # A further index or table tells nothing untrue; a further trigger or rule may.
    further = {what for what in found if what.startswith(("trigger", "rule", "another"))} - triggers
    changed += [f"the {what} is none of the log's" for what in sorted(further)]
    return changed + _changed_functions(rows)


def _of_table(table: Table) -> Iterator[str]:
    for column in table.columns:
        kind = column.type.compile(dialect=POSTGRESQL).lower()
        yield f"column {column.name} {kind}{'' if column.nullable else ' not null'}"
    key = ", ".join(column.name for column in table.primary_key)
    yield f"constraint PRIMARY KEY ({key})"
    for column in table.columns:
        for foreign in column.foreign_keys:
            yield f"constraint FOREIGN KEY ({column.name}) REFERENCES {foreign.target_fullname.replace('.', '(')})"
        if column.unique and table.name != "entry":  # of entries, each partition has it
            yield f"constraint UNIQUE ({column.name})"
    for index in table.indexes:
        yield f"index ({', '.join(column.name for column in index.columns)})"


def _changed_functions(rows: Rows) -> list[str]:
    where = rows.ask("SELECT quote_ident(current_schema())")[0][0]
    wanted = {"onestop_append_only": postgres.REFUSE, "onestop_log_month": postgres.month_function(where)}
    found: dict[str, str] = {row[0]: row[1] for row in rows.ask(FUNCTIONS)}
    return [
        f"the function {name} is missing or was changed"
        for name, definition in wanted.items()
        if f"$${found.get(name)}$$" not in definition
    ]


POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
BARE = r"[()\s\"]|::text"
"""What PostgreSQL adds to an expression when it shows one."""
ID_OF_ITS_MOMENT = re.sub(BARE, "", postgres.ID_OF_ITS_MOMENT)
# Of a constraint that came later (NOT VALID), the new rows are what it holds to it.
SERVED = """
WITH ours AS (
  SELECT c.oid, c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
)
SELECT 'table', name FROM ours
UNION ALL SELECT 'column', a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
  || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || ' of ' || name
  FROM pg_attribute a JOIN ours ON oid = attrelid WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint', CASE k.contype
    WHEN 'c' THEN 'CHECK ' || regexp_replace(pg_get_expr(k.conbin, k.conrelid), $1, '', 'g')
    ELSE pg_get_constraintdef(k.oid) END || ' of ' || name
  FROM pg_constraint k JOIN ours ON ours.oid = k.conrelid WHERE k.contype IN ('p', 'u', 'f', 'c')
UNION ALL SELECT 'index', '(' || (
    SELECT string_agg(pg_get_indexdef(i.indexrelid, at, false), ', ' ORDER BY at) FROM generate_series(1, i.indnatts) at
  ) || ') of ' || name
  FROM pg_index i JOIN ours ON ours.oid = i.indrelid WHERE i.indisvalid AND i.indisready AND i.indpred IS NULL
UNION ALL SELECT CASE WHEN t.tgenabled NOT IN ('O', 'A') THEN 'switched-off'
    WHEN p.proname = 'onestop_append_only' AND p.pronamespace = current_schema()::regnamespace AND (
      t.tgtype & 59 = 58 AND t.tgqual IS NULL
      OR t.tgtype & 27 = 27 AND pg_get_triggerdef(t.oid) LIKE '%WHEN ((old.name <> ''last_probe''::text))%'
    ) THEN 'trigger' ELSE 'another trigger' END, t.tgname || ' of ' || name
  FROM pg_trigger t JOIN ours ON ours.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
UNION ALL SELECT 'rule', r.rulename || ' of ' || name FROM pg_rewrite r JOIN ours ON ours.oid = r.ev_class
"""
PARTITIONS = """
SELECT c.relname::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = to_regclass('entry')
"""
FUNCTIONS = """
SELECT proname::text, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
   AND (proname = 'onestop_append_only' OR proname = 'onestop_log_month' AND prosecdef)
"""
