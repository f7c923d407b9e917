"""A made-up past for a market: what the price did, as orders that trade, and a book that waits.

Everything follows from a seed, and goes through the engine like any other order: the books balance, candles are made
from trades. Made up are the prices, and the times of orders and trades; the ledger's movements have the time at which
they were written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final

from django.db import transaction

from accounts.models import User
from markets.models import Market, Order
from markets.services.orders import OrderRequest, place_in_transaction

# Where the price starts, and how much is traded at once, in the base asset.
STARTS: Final = {
    "BTC-USDC": (60_000.0, 0.2),
    "ETH-USDC": (3_000.0, 3.0),
    "ETH-BTC": (0.05, 2.0),
    "USDC-EUR": (0.92, 5_000.0),
}
# The price's standard deviation over one day.
DAILY_CHANGE: Final = 0.025
# How far back it reaches, and how far apart the moments of trading are: the nearer, the denser.
SPACING: Final = (
    (timedelta(hours=2), timedelta(minutes=2)),
    (timedelta(days=7), timedelta(hours=1)),
    (timedelta.max, timedelta(hours=6)),
)
LEVELS: Final = 15


@dataclass(frozen=True)
class Step:
    """One moment: an order that takes, and those that wait for it, the first to be met first."""

    at: datetime
    side: Order.Side
    waiting: Sequence[tuple[Decimal, Decimal]]  # price and quantity

    @property
    def taken(self) -> Decimal:
        """What the taker wants: all of it."""
        return sum((quantity for _, quantity in self.waiting), Decimal(0))


def moments(end: datetime, days: int) -> list[datetime]:
    """Return when there is trading, oldest first; the last one is just before the end."""
    found: list[datetime] = []
    age = timedelta(0)
    while True:
        age += next(spacing for reach, spacing in SPACING if age < reach)
        if age > timedelta(days=days):
            return found[::-1]
        found.append(end - age)


def past(market: Market, seed: int, end: datetime, days: int) -> Iterator[Step]:
    """Return what happens at each moment: a random walk in steps of the market's tick."""
    chance = Random(f"{seed}-{market.pk}")  # noqa: S311 - repeatable on purpose
    price, size = STARTS[market.pk]
    before = end - timedelta(days=days)
    for moment in moments(end, days):
        spread = DAILY_CHANGE * math.sqrt((moment - before) / timedelta(days=1))
        after = price * math.exp(chance.gauss(0, spread))
        count = chance.choice([1, 2, 2])
        prices = [price + (after - price) * (number + 1) / count for number in range(count)]
        waiting = [(_price(market, one), _quantity(market, size * chance.uniform(0.2, 1.8))) for one in prices]
        yield Step(moment, Order.Side.BUY if after >= price else Order.Side.SELL, waiting)
        price, before = after, moment


def resting(market: Market, seed: int, middle: Decimal) -> Iterator[OrderRequest]:
    """Return orders that wait on both sides of a price, more the farther away."""
    chance = Random(f"{seed}-{market.pk}-book")  # noqa: S311 - repeatable on purpose
    _, size = STARTS[market.pk]
    step = max(middle * Decimal("0.0002"), market.tick_size)
    for level in range(1, LEVELS + 1):
        for side, sign in ((Order.Side.BUY, -1), (Order.Side.SELL, 1)):
            price = _price(market, float(middle + sign * step * level))
            quantity = _quantity(market, size * chance.uniform(0.3, 1.0) * (1 + level / 5))
            yield OrderRequest(market.pk, side, quantity, price)


def write_past(market: Market, traders: Sequence[User], steps: Iterator[Step], key: str) -> Decimal:
    """Let the traders do it, each moment in one transaction, and return the last price. Doing it again adds nothing."""
    last, count = Decimal(0), len(traders)
    for number, step in enumerate(steps):
        maker = traders[number % count]
        taker = traders[(number + 1 + number // count % (count - 1)) % count]
        other = Order.Side.SELL if step.side == Order.Side.BUY else Order.Side.BUY
        with transaction.atomic():
            for place, (price, quantity) in enumerate(step.waiting):
                request = OrderRequest(market.pk, other, quantity, price)
                place_in_transaction(maker, request, f"{key}-{number}-{place}", at=step.at)
            last = step.waiting[-1][0]
            request = OrderRequest(market.pk, step.side, step.taken, last)
            place_in_transaction(taker, request, f"{key}-{number}-taker", at=step.at)
    return last


def _price(market: Market, price: float) -> Decimal:
    ticks = max(1, round(Decimal(price) / market.tick_size))
    return ticks * market.tick_size


def _quantity(market: Market, quantity: float) -> Decimal:
    lots = max(1, round(Decimal(quantity) / market.lot_size))
    return lots * market.lot_size
