"""Whom an incoming order meets: price-time priority, as a pure function over the other side of the book."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from markets.models import Order

# Orders that one incoming order may meet: a transaction must end.
MAX_FILLS: Final = 500


@dataclass(frozen=True, slots=True)
class Resting:
    """An open order, as far as meeting it concerns: what is left of it, and how it pays and is paid."""

    id: int
    user_id: int
    price: Decimal
    remaining: Decimal
    hold_id: UUID
    # Ids of its owner's accounts: the held one that it pays from, and the available one that it is paid to.
    held_account_id: int
    paid_account_id: int


@dataclass(frozen=True, slots=True)
class Fill:
    """A part of an incoming order that a resting one takes, at its own price."""

    resting: Resting
    quantity: Decimal

    @property
    def value(self) -> Decimal:
        """What it is worth in the quote asset."""
        return self.resting.price * self.quantity


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an incoming order."""

    fills: list[Fill]
    remaining: Decimal
    # Why it may not go on, though something remains; None: the rest may wait in the book, if it has a price.
    stopped: Order.Reason | None


def match(  # noqa: PLR0913 - named ones, all of them what an order consists of
    book: Iterable[Resting],
    *,
    side: Order.Side,
    user_id: int,
    quantity: Decimal,
    limit: Decimal | None,
    max_fills: int = MAX_FILLS,
) -> Outcome:
    """Match an incoming order against the other side of the book.

    Args:
        book: the other side's open orders, best price first, of one price the earliest first; read as far as needed.
        side: the incoming order's side.
        user_id: its owner. An order never meets another one of its owner: it stops there (cancel newest).
        quantity: what is wanted, of the base asset.
        limit: the worst price that is acceptable; None: any.
        max_fills: how many orders it may meet.

    Returns:
        The fills, each at the resting order's price, and what is left.
    """
    fills: list[Fill] = []
    remaining = quantity
    stopped: Order.Reason | None = None
    for resting in book:
        if not acceptable(resting.price, side, limit):
            break
        if resting.user_id == user_id:
            stopped = Order.Reason.SELF_TRADE
            break
        if len(fills) == max_fills:
            stopped = Order.Reason.FILL_LIMIT
            break
        taken = min(remaining, resting.remaining)
        fills.append(Fill(resting, taken))
        remaining -= taken
        if not remaining:
            break
    if remaining and limit is None and stopped is None:
        stopped = Order.Reason.NO_LIQUIDITY
    return Outcome(fills, remaining, stopped)


def acceptable(price: Decimal, side: Order.Side, limit: Decimal | None) -> bool:
    """Say whether an incoming order of the side trades at the price."""
    if limit is None:
        return True
    return price <= limit if side == Order.Side.BUY else price >= limit
