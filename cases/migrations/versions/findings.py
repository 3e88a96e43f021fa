"""Findings about accesses: what was noticed, and steps that only ever grow."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "findings"
down_revision = "offices"

STATES = "'OPEN', 'EXPLANATION_REQUESTED', 'EXPLAINED', 'JUSTIFIED', 'VIOLATION'"
KEPT = ("finding", "finding_noticed", "finding_step")


def upgrade() -> None:
    """Make the tables, and hold that their rows stay as they are."""
    op.create_table(
        "finding",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("official", sa.String(length=26), nullable=True),
        sa.Column("organisation", sa.String(length=120), nullable=True),
        sa.Column("raised_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
    )
    for column in ("official", "organisation", "raised_at"):
        op.create_index(op.f(f"ix_finding_{column}"), "finding", [column], unique=False)
    op.create_table(
        "finding_noticed",
        sa.Column("finding_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=24), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.Column("text_ko", sa.Text(), nullable=False),
        sa.Column("text_en", sa.Text(), nullable=False),
        sa.CheckConstraint("severity in ('LOW', 'MEDIUM', 'HIGH')", name=op.f("ck_finding_noticed_severity")),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_finding_noticed_finding_id")),
        sa.PrimaryKeyConstraint("finding_id", "key", name=op.f("pk_finding_noticed")),
    )
    op.create_table(
        "finding_step",
        sa.Column("finding_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=26), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("due_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("supervisor", sa.String(length=26), nullable=True),
        sa.CheckConstraint(f"state in ({STATES})", name=op.f("ck_finding_step_state")),
        sa.CheckConstraint("(number = 1) = (state = 'OPEN')", name=op.f("ck_finding_step_first")),
        sa.CheckConstraint("due_at is null or state = 'EXPLANATION_REQUESTED'", name=op.f("ck_finding_step_due")),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_finding_step_finding_id")),
        sa.PrimaryKeyConstraint("finding_id", "number", name=op.f("pk_finding_step")),
    )
    for table in KEPT:
        for deed in ("update", "delete"):
            _forbid(table, deed)


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
