"""The drill of the order sees what it should in a trace."""

import pytest

from tests.drills.order import order

LOG = "18</data/access-log.db-wal>"
ASKER = "13<TCP:[127.0.0.1:8000->127.0.0.1:5000]>"
QUESTION = f'1 10:00:00.1 read({ASKER}, "POST /graphql HTTP/1.1\\r\\n", 999) = 9 <0.000010>'
QUESTION_IN_TWO = [
    f"1 10:00:00.1 read({ASKER},  <unfinished ...>",
    '1 10:00:00.1 <... read resumed>"POST /graphql H", 9) = 9',
]
SYNC = f"2 10:00:00.2 fdatasync({LOG}) = 0 <0.201000>"
SYNC_BEGINS, SYNC_ENDS = (
    f"2 10:00:00.2 fdatasync({LOG} <unfinished ...>",
    "2 10:00:00.4 <... fdatasync resumed>) = 0 <0.201000>",
)
SYNC_FAILS = f"2 10:00:00.2 fdatasync({LOG}) = -1 EIO (Input/output error) <0.201000>"
ANSWER = f'1 10:00:00.5 write({ASKER}, "HTTP/1.1 200 OK\\r\\naccess-log: 0195\\r\\n", 99) = 99 <0.000010>'


@pytest.mark.parametrize(
    "lines",
    [
        [QUESTION, SYNC, ANSWER],
        [QUESTION, SYNC_BEGINS, SYNC_ENDS, ANSWER],
        [*QUESTION_IN_TWO, SYNC, ANSWER],
        [QUESTION, SYNC, ANSWER, QUESTION, SYNC, ANSWER],
    ],
)
def test_an_answer_after_its_sync_is_in_order(lines: list[str]) -> None:
    assert order(lines).answers >= 1
    assert order(lines).too_early == []


@pytest.mark.parametrize(
    "lines",
    [
        [QUESTION, ANSWER],
        [SYNC, QUESTION, ANSWER],
        [QUESTION, SYNC_BEGINS, ANSWER, SYNC_ENDS],
        [SYNC_BEGINS, QUESTION, SYNC_ENDS, ANSWER],
        [QUESTION, SYNC_FAILS, ANSWER],
        [QUESTION, SYNC, ANSWER, QUESTION, ANSWER],
        [QUESTION, SYNC.replace("access-log.db", "cases.db"), ANSWER],
    ],
)
def test_an_answer_before_its_sync_is_too_early(lines: list[str]) -> None:
    assert len(order(lines).too_early) == 1
