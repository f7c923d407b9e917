"""Writing movements: the only way in which money changes its place."""

from __future__ import annotations

from collections.abc import Sequence
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


def post(kind: Movement.Kind, key: str, lines: Sequence[Line]) -> Movement:
    """Write a movement, or return the one that was written for the same key before.

    The database checks that it balances (at the end of the transaction at the latest) and that nobody is overdrawn.

    Raises:
        InsufficientFunds: a customer's account or a hold has less than the movement takes.
        IdempotencyConflict: the key names another movement.
    """
    try:
        with transaction.atomic():
            movement = Movement.objects.create(kind=kind, key=key, lines=len(lines))
            Posting.objects.bulk_create(
                Posting(
                    movement=movement,
                    line=number,
                    account=line.account,
                    asset_id=line.account.asset_id,
                    amount=line.amount,
                    hold=line.hold,
                )
                for number, line in enumerate(lines, start=1)
            )
    except IntegrityError as error:
        constraint = violated_constraint(error)
        if constraint in OVERDRAWN:
            raise InsufficientFunds("That is more than is available.") from error
        if constraint == "ledger_movement_key_key":
            return _written_before(kind, key, lines)
        raise
    return movement


def violated_constraint(error: IntegrityError) -> str | None:
    """Return the name of the constraint that PostgreSQL found violated."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def _written_before(kind: Movement.Kind, key: str, lines: Sequence[Line]) -> Movement:
    movement = Movement.objects.get(key=key)
    written = [(p.account_id, p.amount, p.hold_id) for p in movement.postings.order_by("line")]
    wanted = [(line.account.pk, line.amount, line.hold.pk if line.hold else None) for line in lines]
    if movement.kind != kind or written != wanted:
        raise IdempotencyConflict(f"The movement {key} was written before, with other postings.")
    return movement
