"""A mandate for each purpose; who ended an approval; approvals are ended once and never erased."""

import sqlalchemy as sa
from alembic import op

from cases.migrations.versions.mandates import forbid

revision = "facts"
down_revision = "sessions"

LIVE = sa.text("revoked_at is null and giver is null")
SAME = " and ".join(
    f"new.{name} is not distinct from old.{name}"
    for name in ("id", "client", "hash", "purpose", "approver", "schema_hash", "disclosures", "at")
)
"""All of an approval but its end."""
TABLE = "trusted_document_approval"


def upgrade() -> None:
    """Widen the index, add the column and the rules."""
    op.drop_index("uq_mandate_live", "mandate")
    op.create_index(
        "uq_mandate_live",
        "mandate",
        ["case_id", "holder", "role", "purpose"],
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )
    op.add_column(TABLE, sa.Column("ended_by", sa.String(length=256), nullable=True))
    forbid(
        f"{TABLE}_update", TABLE, "update", f"old.ended_at is not null or not ({SAME})", "it can only be ended, once"
    )
    forbid(f"{TABLE}_delete", TABLE, "delete", "true", "an approval is never erased")
