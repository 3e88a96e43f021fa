"""What one worker holds in memory over many questions: it should be flat.

`python benchmarks/memory.py --questions 100000` starts our server over the plain agencies (benchmarks/agencies.py),
keeps 64 waiting (rights and log on, SQLite, bearer token or, with `--dpop`, a proof each), and prints RSS and PSS of
the server's process after every tenth of the questions. Every answer is looked at. PSS counts a page that n processes
share as an n-th of one.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import agencies as plain
from benchmarks import servers
from benchmarks.gateways import OURS, asked, equal_to
from benchmarks.measuring import loaded, pss_mb, rss_mb

SLICE_S = 2.0


def main() -> None:
    """A row of a Markdown table for every tenth."""
    servers.end_when_told()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=64)
    parser.add_argument("--leaves", type=int, default=plain.BASE_LEAVES)
    parser.add_argument("--dpop", action="store_true")
    given = parser.parse_args()
    name = "onestop, SQLite, DPoP" if given.dpop else OURS
    with tempfile.TemporaryDirectory(prefix="onestop-memory-") as folder, servers.agencies(Path(folder)) as said:
        said.say(given.leaves, 0)
        with (
            servers.sandbox(Path(folder) / "world") as world,
            servers.onestop(
                name, world, Path(folder), plain.our_question(), said.ports, sender_bound=given.dpop
            ) as server,
        ):
            print("| questions | not answered | RSS MB | PSS MB |\n|---|---|---|---|")
            print(f"| 0 | 0 | {rss_mb(server.pid):.1f} | {pss_mb(server.pid):.1f} |", flush=True)
            right, answered, wrong, told = equal_to(server, plain.whole(given.leaves)), 0, 0, 0
            while answered < given.questions:
                got = loaded(server.port, server.pid, given.waiting, SLICE_S, asked(server), right)
                if got.wrong:
                    print(got.first_wrong, file=sys.stderr)
                answered, wrong = answered + got.answers, wrong + got.wrong
                if answered * 10 // given.questions > told:
                    told = answered * 10 // given.questions
                    print(f"| {answered:,} | {wrong} | {got.rss_mb:.1f} | {pss_mb(server.pid):.1f} |", flush=True)


if __name__ == "__main__":
    main()
