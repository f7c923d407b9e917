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
            return [cursor.fetchall() if cursor.description else [] for cursor in self._send(connection.connection)]

    def _send(self, database: psycopg.Connection[Row]) -> list[psycopg.Cursor[Row]]:
        cursors: list[psycopg.Cursor[Row]] = []
        failed: psycopg.Error | None = None
        try:
            with database.pipeline():
                try:
                    # Django's own cursors put values into the text of a statement; these send them apart, so that
                    # plans last.
                    for statement, values in self._statements:
                        cursors.append(psycopg.Cursor(database).execute(statement, values, prepare=True))
                except psycopg.Error as error:
                    failed = error
        except psycopg.Error as error:
            # If a statement failed before all were sent, this only says that the others were not run.
            failed = failed or error
        if failed is not None:
            raise failed
        return cursors
