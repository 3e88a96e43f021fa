"""A log that is not integrated in time is a finding that every organisation's officers see, said once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import VerifierKey, origin
from audit.entry import Access
from audit.keys import Keys
from audit.searching import Search
from audit.sequencer import Sequencer
from audit.tiles import Published
from audit.writer import AccessLog
from cases.store import Cases
from serving.evaluation import Judging, log_gaps

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
MINUTE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


async def test_a_receipt_that_is_not_kept_in_time_and_a_tree_that_is_behind_are_noticed_once(
    tmp_path: Path, keys: Keys, clock: Callable[[], datetime], access: Callable[..., Access]
) -> None:
    made = clock()
    async with (
        AccessLog.open(f"sqlite+aiosqlite:///{tmp_path}/log.db", keys, clock) as log,
        Cases.opened(f"sqlite+aiosqlite:///{tmp_path}/cases.db") as cases,
    ):
        search = Search(log.reading.engine, log.reading.vault)
        published = Published(tmp_path / "tiles", VerifierKey(origin(log.epoch), KEY.public_key()))
        sequencer = Sequencer(log.reading.engine, log.epoch, KEY, tmp_path / "tiles", None)
        await log.append([access(at=made)])
        while (step := await sequencer.step()) is None or not step.is_complete:
            pass
        assert await log_gaps(search, published, timedelta(), made + 2 * MINUTE) == []

        (late,) = await log.append([access(at=made + SECOND)])
        assert await log_gaps(search, published, MINUTE - SECOND, made + SECOND + MINUTE) == []
        now = made + 2 * SECOND + MINUTE
        hits = await log_gaps(search, published, MINUTE, now)
        assert [(hit.entries, hit.numbers["why"]) for hit in hits] == [((late.leaf_index,), "late"), ((), "behind")]

        judging = Judging(search, cases)
        assert await judging.kept(hits, now) == 2
        again = await log_gaps(search, published, 2 * MINUTE, now + MINUTE)
        assert (len(again), await judging.kept(again, now + MINUTE)) == (2, 0)
        for organisation in ("city-1", "city-2"):
            (finding,) = await cases.findings().of_organisation(organisation)
            assert (finding.official, {each.rule for each in finding.noticed}) == (None, {"LOG_GAP"})

        while (step := await sequencer.step()) is None or not step.is_complete:
            pass
        assert await log_gaps(search, published, timedelta(), now + MINUTE) == []
