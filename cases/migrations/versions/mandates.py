"""The history of mandates, what a mandate reaches, and proxies that never exceed their giver."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "mandates"
down_revision = "0001"

PROXY = (
    "(role = 'PROXY') = (giver is not null)"
    " and (giver is null or (on_behalf_of is not null and on_behalf_of <> holder and valid_until is not null))"
)
LEVELS = "'PRESENCE', 'IDENTITY', 'INVENTORY', 'AMOUNT', 'SPECIAL'"
COLUMNS = (
    f"giver varchar(36) constraint fk_mandate_giver references mandate constraint ck_mandate_giver check ({PROXY})",
    "agencies varchar(120)",
    f"sensitivity varchar(12) constraint ck_mandate_sensitivity check (sensitivity in ({LEVELS}))",
)
"""As text, since SQLite adds a column with its constraints or not at all."""

WITHIN = """exists (
    select 1 from mandate g where g.id = new.giver and g.case_id = new.case_id and g.holder = new.on_behalf_of
    and g.role = 'HEIR' and g.purpose = new.purpose and g.revoked_at is null
    and g.valid_from <= new.valid_from and (g.valid_until is null or g.valid_until >= new.valid_until))"""
"""The power that a proxy is given out of: an heir's own, of the same case and purpose, in force and no shorter."""

SAME = " and ".join(
    f"new.{name} is not distinct from old.{name}"
    for name in (
        *("id", "case_id", "role", "holder", "on_behalf_of", "purpose", "legal_basis", "issued_by"),
        *("valid_from", "valid_until", "giver", "agencies", "sensitivity"),
    )
)
"""All of a mandate but its end."""

RULES = (
    ("mandate", "insert", f"new.giver is not null and not {WITHIN}", "a proxy exceeds its giver"),
    ("mandate", "update", f"old.revoked_at is not null or not ({SAME})", "a mandate can only be ended, and once"),
    ("mandate", "delete", "true", "a mandate is never deleted"),
    ("mandate_event", "update", "true", "the history of mandates only grows"),
    ("mandate_event", "delete", "true", "the history of mandates only grows"),
)


def upgrade() -> None:
    """Add the columns, the history with a grant for each mandate there is, and the rules."""
    for column in COLUMNS:
        op.execute(f"alter table mandate add column {column}")
    live = sa.text("revoked_at is null and giver is null")
    op.drop_index("uq_mandate_live", "mandate")
    op.create_index(
        "uq_mandate_live",
        "mandate",
        ["case_id", "holder", "role"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )
    live = sa.text("revoked_at is null")
    op.create_index(
        "uq_mandate_proxy", "mandate", ["giver", "holder"], unique=True, sqlite_where=live, postgresql_where=live
    )
    op.create_table(
        "mandate_event",
        sa.Column("mandate_id", sa.String(length=36), nullable=False),
        sa.Column("event", sa.String(length=8), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=26), nullable=False),
        sa.Column("justification", sa.String(length=500), nullable=True),
        sa.CheckConstraint("event in ('GRANT', 'REVOKE')", name=op.f("ck_mandate_event_event")),
        sa.CheckConstraint("event = 'GRANT' or justification is not null", name=op.f("ck_mandate_event_justified")),
        sa.ForeignKeyConstraint(["mandate_id"], ["mandate.id"], name=op.f("fk_mandate_event_mandate_id")),
        sa.PrimaryKeyConstraint("mandate_id", "event", name=op.f("pk_mandate_event")),
    )
    op.execute(
        "insert into mandate_event (mandate_id, event, at, actor) select id, 'GRANT', valid_from, holder from mandate"
    )
    op.execute(
        "insert into mandate_event (mandate_id, event, at, actor, justification)"
        " select id, 'REVOKE', revoked_at, holder, 'Ended before reasons were kept.'"
        " from mandate where revoked_at is not null"
    )
    for table, deed, wrong, message in RULES:
        forbid(f"{table}_{deed}", table, deed, wrong, message)


def forbid(name: str, table: str, deed: str, wrong: str, message: str) -> None:
    """Let no row be inserted, changed or deleted when it is wrong to."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"create trigger {name} before {deed} on {table} when {wrong} begin select raise(abort, '{message}'); end"
        )
        return
    op.execute(
        f"create function {name}() returns trigger language plpgsql as $$ begin"
        f" if {wrong} then raise exception '{message}' using errcode = 'integrity_constraint_violation'; end if;"
        f" return {'old' if deed == 'delete' else 'new'}; end $$"
    )
    op.execute(f"create trigger {name} before {deed} on {table} for each row execute function {name}()")
