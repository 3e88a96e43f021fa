"""The protected list: who is on it, and who may look."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "protected"
down_revision = "monthly_reviews"


def upgrade() -> None:
    """Make the table, and let no row of it be changed or deleted."""
    op.create_table(
        "protection",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("deed", sa.String(length=8), nullable=False),
        sa.Column("organisation", sa.String(length=120), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_protection")),
    )
    for deed in ("update", "delete"):
        _forbid(deed)


def _forbid(deed: str) -> None:
    name, message = f"protection_{deed}", "rows of protection stay as they are"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"create trigger {name} before {deed} on protection begin select raise(abort, '{message}'); end")
        return
    op.execute(
        f"create function {name}() returns trigger language plpgsql as $$ begin"
        f" raise exception '{message}' using errcode = 'integrity_constraint_violation'; end $$"
    )
    op.execute(f"create trigger {name} before {deed} on protection for each row execute function {name}()")
