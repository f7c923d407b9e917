"""Several statements in one round trip to the database."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection

Row = tuple[Any, ...]


class Batch:
    """Statements that are sent together (libpq's pipeline mode) and run one after the other, in a transaction.

    Each sees what those before it did. Unlike the parts of one single statement, each also sees what others had
    committed when it began: what is read after a lock was waited for is up to date. PostgreSQL keeps their plans.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._statements: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, statement: str, *values: Any) -> int:
        """Add a statement, with a value for each %s, and return the place of its rows in what run() returns."""
        self._statements.append((statement, values))
        return len(self._statements) - 1

    def run(self) -> list[list[Row]]:
        """Send them and return each one's rows. After an error the transaction is over."""
        connection.validate_no_broken_transaction()
        with connection.wrap_database_errors:
            # Django's own cursors put values into the text of a statement; these send them apart, so that plans last.
            with connection.connection.pipeline():
                cursors = [
                    psycopg.Cursor(connection.connection).execute(statement, values, prepare=True)
                    for statement, values in self._statements
                ]
            return [cursor.fetchall() if cursor.description else [] for cursor in cursors]
