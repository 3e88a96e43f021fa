"""When a refusal leaves: on a grid of time, so that how long the work took is not told.

The work behind an unknown and a foreign id is the same but for rows read and written, a tenth of a millisecond. Evening
that out by hand breaks with every change; a reply that leaves on the next line of a grid tells only which line it was.
"""

import asyncio
import math

GRID_S = 0.01
"""Above what a refusal takes on a machine that is not overloaded."""
TIMER_S = 0.002
"""A timer is only good to a millisecond; the rest is waited out turn by turn."""


async def until_the_next_line(began: float) -> None:
    """Wait for the next line of the grid that was laid when the question came, by the loop's clock."""
    loop = asyncio.get_running_loop()
    due = began + GRID_S * math.ceil((loop.time() - began) / GRID_S)
    await asyncio.sleep(max(0.0, due - loop.time() - TIMER_S))
    while loop.time() < due:  # noqa: ASYNC110 - no event marks a moment
        await asyncio.sleep(0)
