"""Writing movements: the only way in which money changes its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from django.db import IntegrityError, transaction

from ledger.batch import Batch
from ledger.errors import IdempotencyConflict, InsufficientFunds
from ledger.models import Movement

OVERDRAWN = {"account_not_overdrawn", "hold_not_overdrawn"}


class AccountLike(Protocol):
    """What a posting needs to know of its account."""

    @property
    def pk(self) -> Any:
        """The account's id."""

    @property
    def asset_id(self) -> str:
        """Its asset."""


@dataclass(frozen=True)
class Line:
    """One posting to be written: the account gains the amount, or loses it if negative."""

    account: AccountLike
    amount: Decimal
    # The hold that it fills or takes from, if the account is a held one.
    hold_id: UUID | None = None


@dataclass(frozen=True)
class Entry:
    """One movement to be written; the key names its cause, once."""

    kind: Movement.Kind
    key: str
    lines: Sequence[Line]


def post(kind: Movement.Kind, key: str, lines: Sequence[Line]) -> Movement:
    """Write a movement, or return the one that was written for the same key before.

    The database checks that it balances (at the end of the transaction at the latest) and that nobody is overdrawn.

    Raises:
        InsufficientFunds: a customer's account or a hold has less than the movement takes.
        IdempotencyConflict: the key names another movement.
    """
    entry = Entry(kind, key, lines)
    try:
        with transaction.atomic(), overdrafts_refused():
            batch = Batch()
            written = add_movements(batch, [entry])
            pk, _, created_at = batch.run()[written][0]
    except IntegrityError as error:
        if violated_constraint(error) == "ledger_movement_key_key":
            return _written_before(entry)
        raise
    return Movement(pk=pk, kind=kind, key=key, lines=len(lines), created_at=created_at)


def add_movements(batch: Batch, entries: Sequence[Entry]) -> int:
    """Add the statements that write new movements, and return where their rows of id, key and time will be.

    All postings are one statement: it locks the accounts once, in the order of their ids, so that transactions which
    write no more than once can't deadlock, and only the sum of an account's postings must be covered. Run it within
    overdrafts_refused().
    """
    place = batch.add(
        """
        INSERT INTO ledger_movement (kind, key, lines, created_at)
        SELECT kind, key, lines, clock_timestamp()
        FROM unnest(%s::text[], %s::text[], %s::smallint[]) WITH ORDINALITY AS e (kind, key, lines, number)
        ORDER BY number RETURNING id, key, created_at
        """,
        [entry.kind.value for entry in entries],
        [entry.key for entry in entries],
        [len(entry.lines) for entry in entries],
    )
    lines = [(entry.key, number, line) for entry in entries for number, line in enumerate(entry.lines, start=1)]
    batch.add(
        """
        INSERT INTO ledger_posting (movement_id, line, account_id, asset_id, amount, hold_id)
        SELECT m.id, l.line, l.account, l.asset, l.amount, l.hold
        FROM unnest(%s::text[], %s::smallint[], %s::bigint[], %s::text[], %s::numeric[], %s::uuid[])
            AS l (key, line, account, asset, amount, hold)
        JOIN ledger_movement m ON m.key = l.key ORDER BY m.id, l.line
        """,
        [key for key, _, _ in lines],
        [number for _, number, _ in lines],
        [line.account.pk for _, _, line in lines],
        [line.account.asset_id for _, _, line in lines],
        [line.amount for _, _, line in lines],
        [line.hold_id for _, _, line in lines],
    )
    return place


@contextmanager
def overdrafts_refused() -> Iterator[None]:
    """Turn the database's refusal of a negative balance into InsufficientFunds."""
    try:
        yield
    except IntegrityError as error:
        if violated_constraint(error) in OVERDRAWN:
            raise InsufficientFunds("That is more than is available.") from error
        raise


def violated_constraint(error: IntegrityError) -> str | None:
    """Return the name of the constraint that PostgreSQL found violated."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def _written_before(entry: Entry) -> Movement:
    movement = Movement.objects.get(key=entry.key)
    written = [(p.account_id, p.amount, p.hold_id) for p in movement.postings.order_by("line")]
    wanted = [(line.account.pk, line.amount, line.hold_id) for line in entry.lines]
    if movement.kind != entry.kind or written != wanted:
        raise IdempotencyConflict(f"The movement {entry.key} was written before, with other postings.")
    return movement
