"""What every resolver is handed."""

from typing import Any, TypeAlias

from strawberry.types import Info

from resolvers.context import Context

In: TypeAlias = Info[Context, Any]
"""The resolver's own view of the operation."""


def context_of(info: In) -> Context:
    """The operation at work."""
    return info.context
