"""Who handles a case, for which applicant and with what consent; how that changed; officers' mandates bound to it."""

import sqlalchemy as sa
from alembic import op

from cases import tables

revision = "offices"
down_revision = "facts"

COLUMNS = (
    "agency varchar(256)",
    "office varchar(256)",
    (
        "officer varchar(26) constraint ck_case_record_officer"
        " check (officer is null or (office is not null and agency is not null))"
    ),
    "applicant varchar(26) constraint ck_case_record_applicant check (applicant is null or applicant <> officer)",
)
"""As text, since SQLite adds a column with its constraints or not at all."""

GIVEN = """exists (
    select 1 from case_event e where e.case_id = new.id and e.event = 'ASSIGN'
    and e.officer = new.officer and e.office = new.office and e.agency = new.agency
    and e.number = (select max(number) from case_event l where l.case_id = new.id and l.event = 'ASSIGN'))"""
"""The last assignment in the history is the one that the case has."""

ASSIGNED = "exists (select 1 from case_record c where c.id = new.case_id and c.officer = new.holder)"
LONGER = {
    "sqlite": "julianday(new.valid_until) - julianday(new.valid_from) > 30.001 / 1440",
    "postgresql": "new.valid_until > new.valid_from + interval '30 minutes'",
}
"""Than an emergency is taken to last (decision table D36)."""


def upgrade() -> None:
    """Add the columns, the two histories and the rules."""
    for column in COLUMNS:
        op.execute(f"alter table case_record add column {column}")
    op.create_table(
        "case_event",
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event", sa.String(length=8), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=26), nullable=False),
        sa.Column("officer", sa.String(length=26), nullable=True),
        sa.Column("office", sa.String(length=256), nullable=True),
        sa.Column("agency", sa.String(length=256), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.CheckConstraint("event in ('ASSIGN', 'CLOSE', 'REOPEN')", name=op.f("ck_case_event_event")),
        sa.CheckConstraint(
            "(event = 'ASSIGN') = (officer is not null and office is not null and agency is not null)",
            name=op.f("ck_case_event_officer"),
        ),
        sa.ForeignKeyConstraint(["case_id"], ["case_record.id"], name=op.f("fk_case_event_case_id")),
        sa.PrimaryKeyConstraint("case_id", "number", name=op.f("pk_case_event")),
    )
    op.create_table(
        "consent",
        sa.Column("case_id", sa.String(length=36), nullable=False),
        sa.Column("applicant", sa.String(length=26), nullable=False),
        sa.Column("scope", sa.String(length=12), nullable=False),
        sa.Column("recorded_by", sa.String(length=26), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("proof", sa.String(length=64), nullable=False),
        sa.CheckConstraint("scope in ('AMOUNT', 'FINANCIAL')", name=op.f("ck_consent_scope")),
        sa.CheckConstraint("recorded_by <> applicant", name=op.f("ck_consent_recorded")),
        sa.ForeignKeyConstraint(["case_id"], ["case_record.id"], name=op.f("fk_consent_case_id")),
        sa.PrimaryKeyConstraint("case_id", "applicant", "scope", name=op.f("pk_consent")),
    )
    longer = LONGER[op.get_bind().dialect.name]
    for name, table, deed, wrong, message in (
        ("case_event_update", "case_event", "update", "true", "the history of cases only grows"),
        ("case_event_delete", "case_event", "delete", "true", "the history of cases only grows"),
        ("consent_update", "consent", "update", "true", "a consent stays as it was given"),
        ("consent_delete", "consent", "delete", "true", "a consent stays as it was given"),
        (
            "case_record_officer",
            "case_record",
            "update",
            f"new.officer is not null and new.officer is distinct from old.officer and not {GIVEN}",
            "an assignment is in the history of its case",
        ),
        (
            "mandate_officer",
            "mandate",
            "insert",
            f"new.role in ('CASE_OFFICER', 'WELFARE_OFFICER') and not {ASSIGNED}",
            "an officer's mandate goes with the case",
        ),
        (
            "mandate_emergency",
            "mandate",
            "insert",
            (
                f"new.role = 'BREAK_GLASS' and (new.valid_until is null or {longer}"
                " or new.sensitivity is null or new.sensitivity = 'SPECIAL')"
            ),
            "an emergency ends within half an hour, and reaches no special categories",
        ),
    ):
        _forbid(name, table, deed, wrong, message.replace("'", "''"))


def _forbid(name: str, table: str, deed: str, wrong: str, message: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"create trigger {name} before {deed} on {table} when {wrong} begin select raise(abort, '{message}'); end"
        )
        return
    op.execute(
        f"create function {name}() returns trigger language plpgsql as $$ begin"
        f" if {wrong} then raise exception '{message}' using errcode = 'integrity_constraint_violation'; end if;"
        f" return {'old' if deed == 'delete' else 'new'}; end $$"
    )
    op.execute(f"create trigger {name} before {deed} on {table} for each row execute function {name}()")
