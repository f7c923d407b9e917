"""CSV that a spreadsheet opens without running anything, sent while it is read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from django.http import StreamingHttpResponse
from django.utils import timezone

from accounts.models import User
from wallet.history import rows_of

NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
# What spreadsheets take for the beginning of a formula, the wide forms included.
FORMULA: Final = tuple("=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
                       "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip
# How much text is sent at once.
CHUNK_CHARACTERS: Final = 16_384


def safe(cell: str) -> str:
    """Return a cell that a spreadsheet shows as it is: an apostrophe marks what would look like a formula as text."""
    return f"'{cell}" if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell) else cell


def as_csv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write rows as CSV (RFC 4180), in chunks."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([safe(cell) for cell in row])
        if buffer.tell() > CHUNK_CHARACTERS:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def csv_response(user: User, what: str) -> StreamingHttpResponse:
    """Answer with all of a customer's movements, orders or trades, as a file."""
    name = f"{what}-{timezone.now():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        as_csv(rows_of(user, what)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
