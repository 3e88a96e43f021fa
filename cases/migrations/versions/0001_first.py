"""Cases, mandates, evidence, requests, inquiries, standings."""

from alembic import op

from cases.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables. Later revisions spell their changes out; this one is the model as it stood."""
    metadata.create_all(op.get_bind())
