"""What one thing can be out of several: the enumerations of the graph and of the plan."""

from enum import Enum


class Choice(Enum):
    """Members hash as themselves. Enum's own hash is that of the name, in Python, and a question needs hundreds."""

    __hash__ = object.__hash__
