"""Writing movements: the only way in which money changes its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from django.db import IntegrityError, transaction

from ledger.errors import IdempotencyConflict, InsufficientFunds
from ledger.models import Account, Hold, Movement, Posting

OVERDRAWN = {"account_not_overdrawn", "hold_not_overdrawn"}


@dataclass(frozen=True)
class Line:
    """One posting to be written: the account gains the amount, or loses it if negative."""

    account: Account
    amount: Decimal
    hold: Hold | None = None


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
        with transaction.atomic():
            return write([entry])[0]
    except IntegrityError as error:
        if violated_constraint(error) == "ledger_movement_key_key":
            return _written_before(entry)
        raise


def write(entries: Sequence[Entry]) -> list[Movement]:
    """Write new movements in one go, and return them in the same order.

    All postings are one statement: it locks the accounts once, in the order of their ids, so that transactions which
    write no more than once can't deadlock, and only the sum of an account's postings must be covered. After an error
    the transaction is over.

    Raises:
        InsufficientFunds: a customer's account or a hold has less than the movements together take.
        IntegrityError: a key was used before, among others.
    """
    with overdrafts_refused():
        movements = Movement.objects.bulk_create(
            Movement(kind=entry.kind, key=entry.key, lines=len(entry.lines)) for entry in entries
        )
        Posting.objects.bulk_create(
            Posting(
                movement=movement,
                line=number,
                account=line.account,
                asset_id=line.account.asset_id,
                amount=line.amount,
                hold=line.hold,
            )
            for movement, entry in zip(movements, entries, strict=True)
            for number, line in enumerate(entry.lines, start=1)
        )
    return movements


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
    wanted = [(line.account.pk, line.amount, line.hold.pk if line.hold else None) for line in entry.lines]
    if movement.kind != entry.kind or written != wanted:
        raise IdempotencyConflict(f"The movement {entry.key} was written before, with other postings.")
    return movement
