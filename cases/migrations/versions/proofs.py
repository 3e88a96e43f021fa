"""Proofs of possession that were taken."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "proofs"
down_revision = "documents"


def upgrade() -> None:
    """Make the table of proofs."""
    op.create_table(
        "proof",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kept_until", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_proof")),
    )
    op.create_index(op.f("ix_proof_kept_until"), "proof", ["kept_until"], unique=False)
