"""Timestamps over checkpoints: an authority that is not ours says that a tree head existed at a moment.

Source: RFC 3161. What is stamped is the whole signed note, so that `openssl ts -verify` needs nothing but the note.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)


class TimestampError(Exception):
    """This is no timestamp, or not of this authority over this note."""

    code = "BAD_TIMESTAMP"


def authorities(file: Path) -> list[Certificate]:
    """The certificates in a PEM file. Raise ValueError when there is none."""
    return load_pem_x509_certificates(file.read_bytes())


def asked(note: bytes) -> TimeStampRequest:
    """A request for a timestamp over a note, with a nonce."""
    return TimestampRequestBuilder().data(note).hash_algorithm(HashAlgorithm.SHA256).build()


def stamped_at(
    response: bytes, note: bytes, roots: Sequence[Certificate], request: TimeStampRequest | None = None
) -> datetime:
    """When the authority stamped the note; with a request, in answer to it. Raise TimestampError."""
    nonce = None if request is None else request.nonce
    try:
        decoded = decode_timestamp_response(response)
        VerifierBuilder(roots=list(roots), nonce=nonce).build().verify_message(decoded, note)
    except (VerificationError, ValueError) as error:
        raise TimestampError(f"the timestamp does not hold ({error})") from error
    return decoded.tst_info.gen_time
