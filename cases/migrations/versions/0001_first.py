"""Cases, mandates, evidence, requests, inquiries, standings."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "case_record",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=26), nullable=False),
        sa.Column("number", sa.String(length=24), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("opened_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("opened_by", sa.String(length=26), nullable=False),
        sa.Column("closed_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("kind in ('ESTATE', 'BIRTH')", name=op.f("ck_case_record_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_record")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_case_record_kind_subject")),
        sa.UniqueConstraint("number", name=op.f("uq_case_record_number")),
    )
    op.create_table(
        "request",
        sa.Column("viewer", sa.String(length=26), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("result", sa.String(length=36), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("viewer", "key", name=op.f("pk_request")),
    )
    op.create_table(
        "inquiry",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("agency", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("ticket", sa.String(length=1000), nullable=False),
        sa.Column("expected_by", sa.Date(), nullable=False),
        sa.Column("opened_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("kept", sa.LargeBinary(), nullable=True),
        sa.Column("retrieved_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("visible_until", tables.Instant(timezone=True), nullable=True),
        sa.Column("next_poll_at", tables.Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case_record.id"], name=op.f("fk_inquiry_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inquiry")),
        sa.UniqueConstraint("case_id", "agency", "generation", name=op.f("uq_inquiry_case_id_agency_generation")),
        sa.UniqueConstraint("ticket", name=op.f("uq_inquiry_ticket")),
    )
    op.create_index(op.f("ix_inquiry_next_poll_at"), "inquiry", ["next_poll_at"], unique=False)
    op.create_table(
        "mandate",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column("holder", sa.String(length=26), nullable=False),
        sa.Column("on_behalf_of", sa.String(length=26), nullable=True),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("legal_basis", sa.String(length=200), nullable=False),
        sa.Column("issued_by", sa.String(length=120), nullable=False),
        sa.Column("valid_from", tables.Instant(timezone=True), nullable=False),
        sa.Column("valid_until", tables.Instant(timezone=True), nullable=True),
        sa.Column("revoked_at", tables.Instant(timezone=True), nullable=True),
        sa.CheckConstraint("valid_until is null or valid_until > valid_from", name=op.f("ck_mandate_dates")),
        sa.ForeignKeyConstraint(["case_id"], ["case_record.id"], name=op.f("fk_mandate_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate")),
    )
    op.create_index(op.f("ix_mandate_case_id"), "mandate", ["case_id"], unique=False)
    op.create_index(op.f("ix_mandate_holder"), "mandate", ["holder"], unique=False)
    op.create_index(
        "uq_mandate_live",
        "mandate",
        ["case_id", "holder", "role"],
        unique=True,
        sqlite_where=sa.text("revoked_at is null"),
        postgresql_where=sa.text("revoked_at is null"),
    )
    op.create_table(
        "standing",
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("agency", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case_record.id"], name=op.f("fk_standing_case_id")),
        sa.PrimaryKeyConstraint("case_id", "agency", name=op.f("pk_standing")),
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("mandate_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("issuer", sa.String(length=120), nullable=False),
        sa.Column("dated", tables.Instant(timezone=True), nullable=False),
        sa.Column("assurance", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("verified_by", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(["mandate_id"], ["mandate.id"], name=op.f("fk_evidence_mandate_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    op.create_index(op.f("ix_evidence_mandate_id"), "evidence", ["mandate_id"], unique=False)
