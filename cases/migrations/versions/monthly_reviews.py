"""Months of accesses that a privacy officer reviewed and signed for."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "monthly_reviews"
down_revision = "reviews"


def upgrade() -> None:
    """Make the table, and let no row of it be changed or deleted."""
    op.create_table(
        "monthly_review",
        sa.Column("organisation", sa.String(length=120), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("officer", sa.String(length=26), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("figures", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "month", name=op.f("pk_monthly_review")),
    )
    for deed in ("update", "delete"):
        _forbid(deed)


def _forbid(deed: str) -> None:
    name, message = f"monthly_review_{deed}", "rows of monthly_review stay as they are"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"create trigger {name} before {deed} on monthly_review begin select raise(abort, '{message}'); end")
        return
    op.execute(
        f"create function {name}() returns trigger language plpgsql as $$ begin"
        f" raise exception '{message}' using errcode = 'integrity_constraint_violation'; end $$"
    )
    op.execute(f"create trigger {name} before {deed} on monthly_review for each row execute function {name}()")
