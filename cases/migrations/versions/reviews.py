"""How far findings went, and supervisors of offices."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "reviews"
down_revision = "delays"


def upgrade() -> None:
    """Make the tables; what was named stays as it is."""
    op.create_table(
        "finding_progress",
        sa.Column("log", sa.String(length=64), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("held_until", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("log", name=op.f("pk_finding_progress")),
    )
    op.create_table(
        "supervision",
        sa.Column("agency", sa.String(length=256), nullable=False),
        sa.Column("office", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("supervisor", sa.String(length=26), nullable=False),
        sa.Column("named_by", sa.String(length=26), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agency", "office", "number", name=op.f("pk_supervision")),
    )
    for deed in ("update", "delete"):
        _forbid("supervision", deed)


def _forbid(table: str, deed: str) -> None:
    name, message = f"{table}_{deed}", f"rows of {table} stay as they are"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"create trigger {name} before {deed} on {table} begin select raise(abort, '{message}'); end")
        return
    op.execute(
        f"create function {name}() returns trigger language plpgsql as $$ begin"
        f" raise exception '{message}' using errcode = 'integrity_constraint_violation'; end $$"
    )
    op.execute(f"create trigger {name} before {deed} on {table} for each row execute function {name}()")
