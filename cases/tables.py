"""The tables of our own records (SQLAlchemy Core), the same on SQLite and PostgreSQL. Instants are UTC.

What a database can hold, it holds: one case a deceased or child, one live mandate a holder, role and purpose (a proxy:
a holder and giver), one answer a request. Triggers (migrations/) hold that a proxy never exceeds its giver, that a
mandate once ended stays as it is, that histories only grow, and that an officer's mandate follows the case.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant; SQLite has no time zones and keeps it as naive UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - its signature
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

case = Table(
    "case_record",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(26), nullable=False),
    Column("number", String(24), nullable=False, unique=True),
    Column("purpose", String(32), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("opened_by", String(26), nullable=False),
    Column("closed_at", Instant),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("agency", String(256)),
    Column("office", String(256)),
    Column("officer", String(26)),
    Column("applicant", String(26)),
    UniqueConstraint("kind", "subject"),
    CheckConstraint("kind in ('ESTATE', 'BIRTH')", name="kind"),
    CheckConstraint("officer is null or (office is not null and agency is not null)", name="officer"),
    CheckConstraint("applicant is null or applicant <> officer", name="applicant"),
)
"""`officer` of `office` handles it; `applicant` is who asked for it at their counter, null where nobody did."""

case_event = Table(
    "case_event",
    metadata,
    Column("case_id", ForeignKey("case_record.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event", String(8), nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(26), nullable=False),
    Column("officer", String(26)),
    Column("office", String(256)),
    Column("agency", String(256)),
    Column("reason", String(500), nullable=False),
    CheckConstraint("event in ('ASSIGN', 'CLOSE', 'REOPEN')", name="event"),
    CheckConstraint(
        "(event = 'ASSIGN') = (officer is not null and office is not null and agency is not null)", name="officer"
    ),
)
"""To whom a case was given, and when it was closed: by whom, and why. Rows are never changed or deleted."""

consent = Table(
    "consent",
    metadata,
    Column("case_id", ForeignKey("case_record.id"), primary_key=True),
    Column("applicant", String(26), primary_key=True),
    Column("scope", String(12), primary_key=True),
    Column("recorded_by", String(26), nullable=False),
    Column("at", Instant, nullable=False),
    Column("proof", String(64), nullable=False),
    CheckConstraint("scope in ('AMOUNT', 'FINANCIAL')", name="scope"),
    CheckConstraint("recorded_by <> applicant", name="recorded"),
)
"""What an applicant agreed to have shown to the officer of their case. Rows are never changed or deleted."""

mandate = Table(
    "mandate",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("case_id", ForeignKey("case_record.id"), nullable=False, index=True),
    Column("role", String(24), nullable=False),
    Column("holder", String(26), nullable=False, index=True),
    Column("on_behalf_of", String(26)),
    Column("purpose", String(32), nullable=False),
    Column("legal_basis", String(200), nullable=False),
    Column("issued_by", String(120), nullable=False),
    Column("valid_from", Instant, nullable=False),
    Column("valid_until", Instant),
    Column("revoked_at", Instant),
    Column("giver", ForeignKey("mandate.id")),
    Column("agencies", String(120)),
    Column("sensitivity", String(12)),
    CheckConstraint("valid_until is null or valid_until > valid_from", name="dates"),
    CheckConstraint(
        "(role = 'PROXY') = (giver is not null)"
        " and (giver is null or (on_behalf_of is not null and on_behalf_of <> holder and valid_until is not null))",
        name="giver",
    ),
    CheckConstraint("sensitivity in ('PRESENCE', 'IDENTITY', 'INVENTORY', 'AMOUNT', 'SPECIAL')", name="sensitivity"),
    Index(
        "uq_mandate_live",
        "case_id",
        "holder",
        "role",
        "purpose",
        unique=True,
        sqlite_where=text("revoked_at is null and giver is null"),
        postgresql_where=text("revoked_at is null and giver is null"),
    ),
    Index(
        "uq_mandate_proxy",
        "giver",
        "holder",
        unique=True,
        sqlite_where=text("revoked_at is null"),
        postgresql_where=text("revoked_at is null"),
    ),
)
"""`agencies` (names with commas between) and `sensitivity` bound what the mandate reaches; null for no bound."""

mandate_event = Table(
    "mandate_event",
    metadata,
    Column("mandate_id", ForeignKey("mandate.id"), primary_key=True),
    Column("event", String(8), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(26), nullable=False),
    Column("justification", String(500)),
    CheckConstraint("event in ('GRANT', 'REVOKE')", name="event"),
    CheckConstraint("event = 'GRANT' or justification is not null", name="justified"),
)
"""Who gave and who ended each mandate, and why. Rows are never changed or deleted."""

evidence = Table(
    "evidence",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("mandate_id", ForeignKey("mandate.id"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("issuer", String(120), nullable=False),
    Column("dated", Instant, nullable=False),
    Column("assurance", String(16), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("verified_by", String(120), nullable=False),
)

request = Table(
    "request",
    metadata,
    Column("viewer", String(26), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("result", String(36), nullable=False),
    Column("at", Instant, nullable=False),
)

inquiry = Table(
    "inquiry",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("case_id", ForeignKey("case_record.id"), nullable=False),
    Column("agency", String(16), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("person", String(40), nullable=False),
    Column("ticket", String(1000), nullable=False, unique=True),
    Column("expected_by", Date, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("kept", LargeBinary),
    Column("retrieved_at", Instant),
    Column("visible_until", Instant),
    Column("next_poll_at", Instant, index=True),
    UniqueConstraint("case_id", "agency", "generation"),
)

standing = Table(
    "standing",
    metadata,
    Column("case_id", ForeignKey("case_record.id"), primary_key=True),
    Column("agency", String(16), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("at", Instant, nullable=False),
)

proof = Table(
    "proof",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("kept_until", Instant, nullable=False, index=True),
)
"""Proofs of possession that were taken (RFC 9449 §11.1); only until they would be too old anyway."""
