"""Identifiers of the synthetic nation: valid in form, and nobody's.

Sources: docs/wire/README.md (sector identifiers), ISO 6166 (ISIN), 49 CFR 565 (check digit of a vehicle identification
number), domain research §4.1, §8.3 and §8.8 (registration number, PNU, plates).
"""

import base64
import hashlib
import hmac
from datetime import date
from functools import lru_cache
from typing import Final

from sandbox.facts import Subject

SANDBOX_ROOT: Final = hashlib.sha256(b"onestop sandbox identifiers: not a secret").digest()

PREFIXES: Final = {
    "REGISTRY": "reg",
    "LAND": "lan",
    "FINANCE": "fin",
    "PENSIONS": "pen",
    "TAX": "tax",
    "HEALTH": "hea",
    "VEHICLES": "veh",
    "WELFARE": "wel",
    "ROSTER": "ros",
}


def base32_of(sixteen_bytes: bytes) -> str:
    """26 characters of lower-case base32, without padding."""
    return base64.b32encode(sixteen_bytes).decode("ascii").rstrip("=").lower()


def persona_subject(name: str) -> Subject:
    """Internal id of a persona or of somebody in a persona's family (`heir/deceased`): the same whatever the seed."""
    return Subject(base32_of(hashlib.sha256(f"onestop/persona/{name}".encode()).digest()[:16]))


def numbered_subject(seed: int, number: int) -> Subject:
    """Internal id of the generated person with this number."""
    return Subject(base32_of(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:16]))


@lru_cache(maxsize=64)
def _agency_key(agency: str, root: bytes) -> bytes:
    return hmac.digest(root, f"onestop/sector/1/{agency}".encode(), "sha256")


def sector_id(agency: str, subject: Subject, root: bytes = SANDBOX_ROOT) -> str:
    """What this agency calls the person, e.g. ``lan1_`` and 26 characters."""
    digest = hmac.digest(_agency_key(agency, root), subject.encode(), "sha256")
    return f"{PREFIXES[agency]}1_{base32_of(digest[:16])}"


def registration_number(born: date, sex: str, serial: int) -> str:
    """YYMMDD-G###### with 31 February for a birthday: a number that can never be given out."""
    century = 1 if born.year < 2000 else 3
    return f"{born.year % 100:02d}0231-{century + (sex == 'FEMALE')}{serial:06d}"


def pnu(dong: str, ledger: str, main: int, sub: int) -> str:
    """Parcel number of 19 digits: legal dong 10, ledger 1 (1 land, 2 forest), main number 4, sub number 4."""
    return f"{dong}{'2' if ledger == 'FOREST' else '1'}{main:04d}{sub:04d}"


def _isin_check_digit(body: str) -> int:
    digits = "".join(str(int(character, 36)) for character in body)
    doubled = (int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return -sum(number // 10 + number % 10 for number in doubled) % 10


def isin(serial: int) -> str:
    """ISIN of an ordinary share in Korea (KR7, five digits of issuer, 000), with its check digit (ISO 6166)."""
    body = f"KR7{serial:05d}000"
    return f"{body}{_isin_check_digit(body)}"


def is_isin(text: str) -> bool:
    """Tell whether the check digit fits."""
    return len(text) == 12 and text[-1].isdigit() and int(text[-1]) == _isin_check_digit(text[:-1])


_VIN_VALUES: Final = {
    **{str(digit): digit for digit in range(10)},
    **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
    **dict(zip("JKLMN", range(1, 6), strict=True)),
    "P": 7,
    "R": 9,
    **dict(zip("STUVWXYZ", range(2, 10), strict=True)),
}
_VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_YEARS: Final = "ABCDEFGHJKLMNPRSTVWXY123456789"  # 1980 is A, and again from 2010


def _vin_check_digit(vin: str) -> str:
    remainder = sum(_VIN_VALUES[character] * weight for character, weight in zip(vin, _VIN_WEIGHTS, strict=True)) % 11
    return "X" if remainder == 10 else str(remainder)


def vin(world_maker: str, model_year: int, serial: int) -> str:
    """17 characters: maker 3, description 5, check digit, model year, plant and serial number."""
    year = _VIN_YEARS[(model_year - 1980) % 30]
    description = f"{'ABCDEFGH'[serial % 8]}{serial // 8 % 100:02d}{'LMNP'[serial // 800 % 4]}{serial // 3200 % 10}"
    draft = f"{world_maker}{description}0{year}U{serial % 1_000_000:06d}"
    return f"{draft[:8]}{_vin_check_digit(draft)}{draft[9:]}"


def is_vin(text: str) -> bool:
    """Tell whether length, alphabet and check digit fit."""
    return len(text) == 17 and set(text) <= _VIN_VALUES.keys() and text[8] == _vin_check_digit(text)
