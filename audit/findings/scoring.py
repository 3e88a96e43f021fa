"""How well the rules find what was planted: precision and recall, of each rule and overall.

What is counted: for precision, findings (for one rule: its own hits, folded as findings are), right when they hold an
entry that was planted, whatever for; for recall, planted episodes, found when a hit of the rule of their kind (overall:
of any rule) holds one of their entries. Emergency access is planted to be found, not as a fault.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Protocol

import polars as pl

from audit.findings import rules
from audit.findings.evaluation import Evaluation
from audit.findings.folding import folded
from audit.findings.shapes import Hit, Rule, context

WARM_UP = timedelta(days=28)
SETTLED = timedelta(minutes=10)


class Batch(Protocol):
    """Some traffic, in the order of time, with what was planted in it (entry, kind, episode)."""

    @property
    def accesses(self) -> pl.DataFrame: ...
    @property
    def tables(self) -> Mapping[str, pl.DataFrame]: ...
    @property
    def receipts(self) -> pl.DataFrame: ...
    @property
    def planted(self) -> pl.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Score:
    """`right` of `raised` findings; `found` of `planted` episodes."""

    raised: int
    right: int
    planted: int
    found: int

    @property
    def precision(self) -> float | None:
        return self.right / self.raised if self.raised else None

    @property
    def recall(self) -> float | None:
        return self.found / self.planted if self.planted else None


@dataclass(slots=True)
class Planted:
    """Entries of planted episodes, by entry. An episode has one kind, named as the rule that should find it."""

    kind_of: dict[int, Rule] = field(default_factory=dict)
    episode_of: dict[int, tuple[str, int]] = field(default_factory=dict)

    def add(self, rows: Iterable[tuple[int, str, int]]) -> None:
        """Take rows of entry, kind, episode."""
        for entry, kind, episode in rows:
            self.kind_of[entry] = Rule(kind)
            self.episode_of[entry] = (kind, episode)


def scores(hits: list[Hit], planted: Planted) -> dict[Rule | None, Score]:
    """Scores by rule, and under None overall."""
    episodes: dict[Rule, set[tuple[str, int]]] = defaultdict(set)
    for entry, episode in planted.episode_of.items():
        episodes[planted.kind_of[entry]].add(episode)
    found: dict[Rule | None, Score] = {}
    for rule in Rule:
        its = [hit for hit in hits if hit.rule is rule]
        found[rule] = _score(its, planted, episodes[rule])
    found[None] = _score(hits, planted, set().union(*episodes.values()))
    return found


def _score(hits: list[Hit], planted: Planted, episodes: set[tuple[str, int]]) -> Score:
    findings = folded(hits)
    touched = {planted.episode_of[entry] for hit in hits for entry in hit.entries if entry in planted.episode_of}
    right = sum(any(entry in planted.kind_of for entry in finding.entries) for finding in findings)
    return Score(len(findings), right, len(episodes), len(episodes & touched))


def measured(batches: Iterable[Batch], public_holidays: frozenset[date]) -> dict[str, Any]:
    """Scores of the rules over traffic, as plain values; what falls into the first 28 days is not counted."""
    ids = pl.Int64()
    evaluation, planted, hits, counted_from = Evaluation.of(ids), Planted(), list[Hit](), None
    for batch in batches:
        counted_from = counted_from or batch.accesses["at"][0] + WARM_UP
        new = evaluation.judge(batch.accesses, context(batch.tables, public_holidays, ids))
        new += rules.log_gaps(batch.receipts, timedelta(), batch.accesses["at"][-1] + SETTLED)
        early = batch.accesses.filter(pl.col("at") < counted_from).select("entry")
        hits += [hit for hit in new if hit.at >= counted_from]
        planted.add(batch.planted.join(early, on="entry", how="anti").select("entry", "kind", "episode").iter_rows())
    return {
        "accesses": evaluation.accesses,
        "explained_share": evaluation.explained / evaluation.accesses,
        "rules": {
            rule.value if rule else "OVERALL": {
                "findings": score.raised,
                "right": score.right,
                "precision": score.precision,
                "planted": score.planted,
                "found": score.found,
                "recall": score.recall,
            }
            for rule, score in scores(hits, planted).items()
        },
    }


def table(result: Mapping[str, Any]) -> str:
    """What was measured, to be read."""
    lines = [f"{'rule':<20}{'findings':>9}{'right':>7}{'precision':>11}{'planted':>9}{'found':>7}{'recall':>8}"]
    for rule, score in result["rules"].items():
        precision, recall = ("-" if score[of] is None else f"{score[of]:.3f}" for of in ("precision", "recall"))
        lines.append(
            f"{rule:<20}{score['findings']:>9}{score['right']:>7}{precision:>11}"
            f"{score['planted']:>9}{score['found']:>7}{recall:>8}"
        )
    return "\n".join(
        [*lines, f"{result['accesses']:,} accesses; a share of {result['explained_share']:.4f} is explained."]
    )
