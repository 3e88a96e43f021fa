"""What mutations take: idempotency keys, and persons named by what the viewer knows of them."""

import hashlib
import json

from graphql import GraphQLError

from cases.store import Request
from connectors.registry import Inquiry
from resolvers import errors
from resolvers.context import Context
from schema.answer import AnswerStatus
from schema.case import PersonLookupInput, Purpose
from schema.identifiers import PersonId

KEY_LENGTH = 200


def require_key(key: str) -> None:
    """Refuse a key that is empty or too long."""
    if not 0 < len(key) <= KEY_LENGTH:
        raise errors.bad_input("input.idempotencyKey", f"Give 1 to {KEY_LENGTH} characters, e.g. a UUID.")


def reused() -> GraphQLError:
    """The key stands for another request."""
    return errors.bad_input("input.idempotencyKey", "This key was used for another request. Choose a new one.")


def fingerprint(facts: list[str]) -> str:
    """What tells one request, or one state of affairs, from another."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def request(context: Context, key: str, facts: list[str]) -> Request:
    """The key is the caller's own words, so it is kept under a name that does not tell them."""
    return Request(context.viewer.person, fingerprint(["key", context.sealed("Key", key)]), fingerprint(facts))


async def looked_up(context: Context, asked: PersonLookupInput, field: str, purpose: Purpose) -> PersonId | None:
    """Whom the register knows under these particulars; None for nobody that we could name to the viewer."""
    number = asked.registration_number
    if number is not None:
        number = number.replace("-", "")
        if len(number) != 13 or not (number.isascii() and number.isdigit()):
            raise errors.bad_input(f"input.{field}.registrationNumber", "Give 13 digits, with or without a hyphen.")
    name = asked.name.strip()
    if not 0 < len(name) <= 100:
        raise errors.bad_input(f"input.{field}.name", "Give the full name as registered.")
    answered = await context.house.registry.lookup(name, asked.birth_date, number, Inquiry(purpose.name, context.now))
    if answered.section is None and answered.answer.status is not AnswerStatus.NONE_HELD:
        raise context.register_silent(answered.answer)
    return answered.section.subject if answered.section else None
