"""Errors that a portal can act on: each with a code of the contract, a sentence, and the remedy."""

from collections.abc import Iterable
from typing import Any

from graphql import GraphQLError

from schema.case import Purpose, RefusalCode

STRONGEST = "urn:onestop:loa:3"
FRESH_S = 900
"""Amounts need a sign-in at most this many seconds old."""


def error(code: str, message: str, **facts: Any) -> GraphQLError:
    """An error with its code and further facts in ``extensions``."""
    return GraphQLError(message, extensions={"code": code, **facts})


def bad_input(field: str, remedy: str) -> GraphQLError:
    """Input that cannot be taken: names the field and what to do."""
    return error("BAD_INPUT", f"{field}: {remedy}", field=field, remedy=remedy)


def refused(code: RefusalCode) -> GraphQLError:
    """A case that is not entered. Everything but a step-up looks the same: it does not even exist."""
    if code is RefusalCode.STEP_UP_REQUIRED:
        return step_up()
    return error("NOT_ACCESSIBLE", "This is not accessible. It may not exist, or it is not open to you.")


def step_up() -> GraphQLError:
    """What RFC 9470 says in a header, for a part of an answer."""
    return error(
        "STEP_UP_REQUIRED",
        "Sign in again with the strongest means you have.",
        acrValues=[STRONGEST],
        maxAge=FRESH_S,
    )


def register_silent(retry_after_s: int | None) -> GraphQLError:
    """Authority cannot be established: fail closed, and say that it is not the viewer's fault."""
    return error(
        "OVERLOADED",
        "The family register does not answer, and without it nobody's authority can be established. Try again.",
        retryAfterSeconds=retry_after_s or 30,
    )


def register_changed() -> GraphQLError:
    """Less may be shown than when the agencies were asked; asking again shows what still may."""
    return error(
        "OVERLOADED",
        "What the family register says changed while agencies were being asked, so nothing is shown. Ask again.",
        retryAfterSeconds=1,
    )


def roster_silent(retry_after_s: int | None) -> GraphQLError:
    """Whether an official is on duty cannot be told: fail closed."""
    return error(
        "OVERLOADED",
        "The staff roster does not answer, and without it nobody can be told to be on duty. Try again.",
        retryAfterSeconds=retry_after_s or 30,
    )


def wrong_purpose(approved: Iterable[Purpose], asked: Purpose) -> GraphQLError:
    """A trusted document on a case of a purpose that it is not approved for."""
    names = ", ".join(sorted(purpose.name for purpose in approved))
    return error(
        "DOCUMENT_NOT_TRUSTED",
        f"The document is approved for {names}, and this case is for {asked.name}. "
        "Ask with a document that is approved for that purpose.",
    )
