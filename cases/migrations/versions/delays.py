"""Orders that somebody is told only later of accesses to their data."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "delays"
down_revision = "findings"


def upgrade() -> None:
    """Make the table, and let no row of it be changed or deleted."""
    op.create_table(
        "delay",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person", sa.String(length=26), nullable=False),
        sa.Column("organisation", sa.String(length=120), nullable=False),
        sa.Column("since", tables.Instant(timezone=True), nullable=False),
        sa.Column("until", tables.Instant(timezone=True), nullable=False),
        sa.Column("authority", sa.String(length=120), nullable=False),
        sa.Column("order_reference", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("entered_by", sa.String(length=40), nullable=False),
        sa.CheckConstraint("until > since", name=op.f("ck_delay_ends")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delay")),
    )
    op.create_index(op.f("ix_delay_person"), "delay", ["person"], unique=False)
    for deed in ("update", "delete"):
        _forbid(deed)


def _forbid(deed: str) -> None:
    name, message = f"delay_{deed}", "rows of delay stay as they are"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"create trigger {name} before {deed} on delay begin select raise(abort, '{message}'); end")
        return
    op.execute(
        f"create function {name}() returns trigger language plpgsql as $$ begin"
        f" raise exception '{message}' using errcode = 'integrity_constraint_violation'; end $$"
    )
    op.execute(f"create trigger {name} before {deed} on delay for each row execute function {name}()")
