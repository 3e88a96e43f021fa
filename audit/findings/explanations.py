"""Explanations first: what makes an access one that was to be expected, at its time.

After Fabbri and LeFevre's explanation-based auditing: find the row that links official and person, and name it.
"""

from datetime import timedelta

import polars as pl

from audit.findings.shapes import KOREA, Context, Explanation

ASKED_WITHIN = timedelta(days=7)


def explained(accesses: pl.DataFrame, known: Context) -> pl.DataFrame:
    """The accesses with `explained_by` (null: nothing does), `open_case` and `handed_over`.

    `open_case`: the person is a party of an open one. `handed_over`: the explanation accounts for the number of
    accesses too, not only for this one, since others handed the official this very case: an assignment made before the
    day of the access, a mandate, a colleague's request. Who is on a roster may look at any case of an office, and who
    opens a case is assigned to it at once: neither says anything about how many.
    An explanation may lie in any case of the person, not only in the one that the access names.
    """
    of_person = (
        accesses.lazy()
        .select("entry", "at", "official", "person", "office")
        .join(known["parties"].lazy().rename({"case": "of_case"}), on="person")
        .join(known["cases"].lazy().rename({"case": "of_case", "office": "owner"}), on="of_case")
        .collect()
        .lazy()
    )
    in_open = of_person.filter(_holds("opened", "closed"))
    assignments = known["assignments"].lazy().rename({"case": "of_case"})
    asked = (
        known["requests"]
        .lazy()
        .rename({"case": "of_case", "at": "asked_at"})
        .join(assignments.rename({"official": "colleague"}), on=["of_case", "colleague"])
        .filter(_holds("since", "until", "asked_at"))
    )
    links = {
        Explanation.ASSIGNED: in_open.join(assignments, on=["of_case", "official"]).filter(_holds("since", "until")),
        Explanation.ON_ROSTER: in_open.filter(pl.col("owner") == pl.col("office"))
        .join(known["rosters"].lazy(), on=["office", "official"])
        .filter(_holds("since", "until")),
        Explanation.MANDATE: of_person.join(
            known["mandates"].lazy().rename({"case": "of_case"}), on=["of_case", "official"]
        ).filter(_holds("since", "until")),
        Explanation.INSPECTION: of_person.join(
            known["inspections"].lazy().rename({"office": "owner"}), on=["owner", "official"]
        ).filter(_holds("since", "until")),
        Explanation.ASKED: in_open.join(asked, on=["of_case", "official"]).filter(
            pl.col("at").is_between(pl.col("asked_at"), pl.col("asked_at") + ASKED_WITHIN)
        ),
    }
    found = [
        each.select("entry", rank=pl.lit(rank, pl.Int8), explained_by=pl.lit(name.value))
        for rank, (name, each) in enumerate(links.items())
    ]
    strongest = pl.concat(found).group_by("entry").agg(pl.col("explained_by").sort_by("rank").first())
    handed_over = pl.concat(
        [
            links[Explanation.ASSIGNED].filter(_day("since") < _day("at")).select("entry"),
            links[Explanation.MANDATE].select("entry"),
            links[Explanation.ASKED].select("entry"),
        ]
    ).unique()
    is_open = in_open.select("entry", open_case=pl.lit(value=True)).unique()
    return (
        accesses.lazy()
        .join(strongest, on="entry", how="left")
        .join(is_open, on="entry", how="left")
        .join(handed_over.with_columns(handed_over=pl.lit(value=True)), on="entry", how="left")
        .with_columns(pl.col("open_case", "handed_over").fill_null(value=False))
        .collect()
    )


def _holds(since: str, until: str, at: str = "at") -> pl.Expr:
    return (pl.col(since) <= pl.col(at)) & (pl.col(until).is_null() | (pl.col(at) < pl.col(until)))


def _day(instant: str) -> pl.Expr:
    return pl.col(instant).dt.convert_time_zone(KOREA).dt.date()
