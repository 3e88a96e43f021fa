"""Entries of the log as the rules take them: who looked at whom, for what, and what the log itself knows besides.

Judged are looks of officials in office. Not judged: looks at oneself as of right (SUBJECT_ACCESS), and the reviewing of
the log. The log also says who is a party of a case (whose data was read in it), who works where, and what a selection
reads.
"""

from collections.abc import Iterable, Mapping

import polars as pl

from audit.entry import Access, Task
from audit.findings.shapes import ACCESSES, CONTEXT, type_
from audit.store import Placed

TEXT = pl.String()
OFFICIAL = "OFFICIAL"
BREAK_GLASS = "break-glass"
"""The policy that every access by emergency names."""
NAMED_BY_THE_CASE = {None, "deceased", "child", "self"}
"""Roles that say nothing about somebody's being a party: our records know these, and a refusal names them too."""
BEGINNING = 0
"""Of the log as the rules see it, 1970: the log does not say since when somebody works where they do."""


def is_judged(access: Access) -> bool:
    """Whether the rules are about this access."""
    own = access.subject == access.viewer and access.purpose == "SUBJECT_ACCESS"
    return OFFICIAL in access.roles and access.organisation is not None and access.task is not Task.LOG_VIEW and not own


def accesses(placed: Iterable[Placed]) -> pl.DataFrame:
    """One row for each entry that is judged."""
    rows = [
        {
            "entry": each.leaf_index,
            "at": access.at,
            "official": access.viewer,
            "person": access.subject,
            "office": office_of(access.organisation, access.office),
            "organisation": access.organisation,
            "case": access.case_id,
            "purpose": access.purpose,
            "selection": access.selection.id,
            "refused": len(access.withheld),
            "break_glass": BREAK_GLASS in access.policy_ids,
        }
        for each in placed
        if is_judged(access := each.entry.access)
    ]
    return pl.DataFrame(rows, schema=shape(ACCESSES), orient="row")


def told(placed: Iterable[Placed]) -> dict[str, pl.DataFrame]:
    """What the entries say besides: `officials`, `parties`, `employment` and `selections`."""
    officials, parties, employment, selections = set(), set(), set(), set()
    for each in placed:
        access = each.entry.access
        if not is_judged(access):
            continue
        officials.add((access.viewer, access.viewer, office_of(access.organisation, access.office)))
        employment.add((access.viewer, access.organisation, None, None))
        if access.case_id and access.subject and access.subject_role not in NAMED_BY_THE_CASE:
            parties.add((access.case_id, access.subject))
        selections |= {(access.selection.id, str(each)) for each in access.selection.coordinates}
    found = {
        "officials": table("officials", officials),
        "parties": table("parties", parties),
        "employment": table("employment", employment).with_columns(
            since=pl.lit(BEGINNING).cast(pl.Datetime("us", "UTC"))
        ),
        "selections": table("selections", selections),
    }
    return {name: each.select(CONTEXT[name].keys()) for name, each in found.items()}


def office_of(organisation: str | None, office: str | None) -> str | None:
    """Offices are called alike in many organisations."""
    return None if office is None else f"{organisation}/{office}"


def table(name: str, rows: Iterable[tuple[object, ...]]) -> pl.DataFrame:
    """A table of the context, with identifiers as text."""
    return pl.DataFrame(list(rows), schema=shape(CONTEXT[name]), orient="row").unique()


def shape(columns: Mapping[str, type_]) -> dict[str, type_]:
    """The columns, with identifiers as text."""
    return {name: kind or TEXT for name, kind in columns.items()}
