"""Trusted documents and their approvals."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "documents"
down_revision = "mandates"


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "trusted_document",
        sa.Column("client", sa.String(length=256), nullable=False),
        sa.Column("hash", sa.String(length=71), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("operations", sa.String(length=1000), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("registered_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("client", "hash", "purpose", name=op.f("pk_trusted_document")),
    )
    op.create_index(op.f("ix_trusted_document_hash"), "trusted_document", ["hash"], unique=False)
    op.create_table(
        "trusted_document_approval",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("client", sa.String(length=256), nullable=False),
        sa.Column("hash", sa.String(length=71), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("approver", sa.String(length=26), nullable=False),
        sa.Column("schema_hash", sa.String(length=64), nullable=False),
        sa.Column("disclosures", sa.Text(), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("ended_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("ended_because", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(
            ["client", "hash", "purpose"],
            ["trusted_document.client", "trusted_document.hash", "trusted_document.purpose"],
            name="fk_trusted_document_approval_document",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trusted_document_approval")),
    )
    op.create_index(
        "uq_trusted_document_approval_live",
        "trusted_document_approval",
        ["client", "hash", "purpose", "approver"],
        unique=True,
        sqlite_where=sa.text("ended_at is null"),
        postgresql_where=sa.text("ended_at is null"),
    )
