"""Sessions of the portal."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "sessions"
down_revision = "proofs"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "session",
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("kept", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("last_used_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_last_used_at"), "session", ["last_used_at"], unique=False)
