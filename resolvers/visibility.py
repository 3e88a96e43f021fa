"""Accesses that their person is told of only later, because an order says so: marked as they are written down.

The mark is part of the entry that the leaf commits to, so that nobody lengthens it afterwards. Citizens' accesses are
told at once, always, and so is everybody's access to their own data.
"""

from collections.abc import Iterable
from dataclasses import replace

from audit.entry import Access, Visibility
from cases.delays import Delays


async def delayed(accesses: Iterable[Access], delays: Delays) -> list[Access]:
    """The accesses of one operation, those marked that an order covers."""
    found = list(accesses)
    persons = {each.subject for each in found if each.subject and each.subject != each.viewer and each.organisation}
    if not persons:
        return found
    orders = await delays.in_force(persons, found[0].organisation or "", found[0].at)  # one viewer, one moment
    marks = {order.person: Visibility(order.until, order.authority, order.order) for order in reversed(orders)}
    return [replace(each, visibility=marks.get(each.subject) if each.subject else None) for each in found]
