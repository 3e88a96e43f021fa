"""A last look at the family register before an answer is released.

Renunciations, disputes, protection and deaths count at once. An answer that waited for a slow agency was ruled on by
what the register said before; it is shown only when the register still says so. What the register said less than a
second ago is taken for what it says now.
"""

from datetime import timedelta

from graphql import GraphQLError

from connectors.registry import FamilyRegister
from resolvers import errors
from resolvers.context import Context
from schema.case import RefusalCode

GOOD_FOR = timedelta(seconds=1)


async def taken_back(context: Context) -> GraphQLError | None:
    """Why the answer may not be shown as it was ruled on; None when it may."""
    if not context.hands or context.house.clock() - context.now < GOOD_FOR:
        return None
    context.loaders.pop(FamilyRegister, None)  # it remembers what it was told
    for hand in context.hands.values():
        try:
            _, power = await context.borne_out(hand.mandate, hand.record)
        except GraphQLError as silent:
            return silent
        if not power.entering(context.house.policies).shows:
            return errors.refused(RefusalCode.NOT_ACCESSIBLE)
        if not hand.shown.still(power, context.house.policies):
            return errors.register_changed()
    return None
