"""Lists in parts: a cursor says after which row to go on, so that new rows shift nothing."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Final

from ninja import Query

from api.problems import Problem

MAX_LIMIT: Final = 100
ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many to return.")]
Cursor = Annotated[
    str | None,
    Query(max_length=100, description="`next_cursor` of the part before, as it came."),
]


def encode(position: str) -> str:
    """Return a cursor for a position: clients have no reason to look inside."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """Return the position.

    Raises:
        Problem: it isn't one of ours.
    """
    if not ALPHABET.fullmatch(cursor):
        raise bad_cursor()
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise bad_cursor() from None


def decode_id(cursor: str | None) -> int | None:
    """Return the id to go on below, or None at the start."""
    if cursor is None:
        return None
    position = decode(cursor)
    if not DIGITS.fullmatch(position):
        raise bad_cursor()
    return int(position)


def bad_cursor() -> Problem:
    """Return the refusal of a cursor."""
    return Problem(422, "invalid-cursor", "cursor: take it from next_cursor as it is.")
