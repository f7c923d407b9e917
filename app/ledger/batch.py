"""Several statements in one round trip to the database."""

from __future__ import annotations

from typing import Any

from django.db import connection

Row = tuple[Any, ...]


class Batch:
    """Statements that are sent together and run one after the other.

    Each sees what those before it did. Unlike the parts of one single statement, each also sees what others had
    committed when it began: what is read after a lock was waited for is up to date.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._statements: list[str] = []
        self._values: list[Any] = []

    def add(self, statement: str, *values: Any) -> int:
        """Add a statement, with a value for each %s, and return the place of its rows in what run() returns."""
        self._statements.append(statement)
        self._values += values
        return len(self._statements) - 1

    def run(self) -> list[list[Row]]:
        """Send them and return each one's rows. After an error the transaction is over."""
        results = []
        with connection.cursor() as cursor:
            cursor.execute(";".join(self._statements), self._values)
            more = True
            while more:
                results.append(cursor.fetchall() if cursor.description else [])
                more = bool(cursor.nextset())
        return results
