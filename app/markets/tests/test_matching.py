"""Whom an incoming order meets, row by row; no database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from decimal import Decimal

import pytest

from markets.matching import MAX_FILLS, Resting, acceptable, match
from markets.models import Order

BUY, SELL = Order.Side.BUY, Order.Side.SELL
ME, SOMEBODY, SOMEBODY_ELSE = 1, 2, 3

# A resting order as owner, price, what is left of it; a fill as its place in the book, price, quantity.
RestingRow = tuple[int, str, str]
FillRow = tuple[int, str, str]


def resting(number: int, row: RestingRow) -> Resting:
    """Return an order of the book."""
    owner, price, remaining = row
    return Resting(number, owner, Decimal(price), Decimal(remaining), uuid.uuid4(), 1, 2)


ONE_ASK: list[RestingRow] = [(SOMEBODY, "100", "2")]
ASKS: list[RestingRow] = [(SOMEBODY, "100", "1"), (SOMEBODY_ELSE, "100", "0.5"), (SOMEBODY, "101", "3")]
BIDS: list[RestingRow] = [(SOMEBODY, "99", "1"), (SOMEBODY_ELSE, "98", "1")]

# name, book, side, quantity, limit, expected fills, what remains, why it stopped
ROWS: list[tuple[str, list[RestingRow], Order.Side, str, str | None, list[FillRow], str, str | None]] = [
    ("empty book, limit", [], BUY, "1", "100", [], "1", None),
    ("empty book, market", [], BUY, "1", None, [], "1", "no_liquidity"),
    ("exactly one order", ONE_ASK, BUY, "2", "100", [(0, "100", "2")], "0", None),
    ("a part of one order", ONE_ASK, BUY, "0.5", "100", [(0, "100", "0.5")], "0", None),
    ("more than the book has, limit", ONE_ASK, BUY, "5", "100", [(0, "100", "2")], "3", None),
    ("more than the book has, market", ONE_ASK, BUY, "5", None, [(0, "100", "2")], "3", "no_liquidity"),
    ("a better limit trades at the resting price", ONE_ASK, BUY, "1", "150", [(0, "100", "1")], "0", None),
    ("a limit one tick below", ONE_ASK, BUY, "1", "99.99", [], "1", None),
    ("only what is left of a resting order", ASKS, BUY, "2", "100", [(0, "100", "1"), (1, "100", "0.5")], "0.5", None),
    ("through two prices", ASKS, BUY, "2", "101", [(0, "100", "1"), (1, "100", "0.5"), (2, "101", "0.5")], "0", None),
    ("market, through two prices", ASKS, BUY, "4.5", None, [(0, "100", "1"), (1, "100", "0.5"), (2, "101", "3")], "0", None),
    ("selling, down to the limit", BIDS, SELL, "3", "99", [(0, "99", "1")], "2", None),
    ("selling, through two prices", BIDS, SELL, "2", "98", [(0, "99", "1"), (1, "98", "1")], "0", None),
    ("selling, above the best bid", BIDS, SELL, "1", "99.01", [], "1", None),
    ("own order first", [(ME, "100", "1"), (SOMEBODY, "100", "1")], BUY, "1", "100", [], "1", "self_trade"),
    ("own order second", [(SOMEBODY, "100", "1"), (ME, "100", "1")], BUY, "2", None, [(0, "100", "1")], "1", "self_trade"),
    ("own order behind what is enough", [(SOMEBODY, "100", "1"), (ME, "100", "1")], BUY, "1", None, [(0, "100", "1")], "0", None),
    ("own order beyond the limit", [(SOMEBODY, "100", "1"), (ME, "101", "1")], BUY, "2", "100", [(0, "100", "1")], "1", None),
    ("the smallest and the largest", [(SOMEBODY, "0.000000000000000001", "1000000000000")], BUY, "0.000000000000000001", None, [(0, "0.000000000000000001", "0.000000000000000001")], "0", None),
    ("what is left is exact", [(SOMEBODY, "1", "999999999999.999999999999999999")], BUY, "1000000000000", "1", [(0, "1", "999999999999.999999999999999999")], "0.000000000000000001", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("book", "side", "quantity", "limit", "fills", "remaining", "stopped"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_match(
    book: list[RestingRow],
    side: Order.Side,
    quantity: str,
    limit: str | None,
    fills: list[FillRow],
    remaining: str,
    stopped: str | None,
) -> None:
    outcome = match(
        [resting(number, row) for number, row in enumerate(book)],
        side=side,
        user_id=ME,
        quantity=Decimal(quantity),
        limit=None if limit is None else Decimal(limit),
    )
    met = [(fill.resting.id, fill.resting.price, fill.quantity) for fill in outcome.fills]
    assert met == [(number, Decimal(price), Decimal(taken)) for number, price, taken in fills]
    assert (outcome.remaining, outcome.stopped) == (Decimal(remaining), stopped)


@pytest.mark.parametrize(
    ("orders", "quantity", "limit", "met", "stopped"),
    [
        (3, "3", "100", 3, None),
        (4, "4", "100", 3, "fill_limit"),
        (4, "3", "100", 3, None),
        (4, "4", None, 3, "fill_limit"),
        (3, "4", "100", 3, None),
        (3, "4", None, 3, "no_liquidity"),
    ],
)
def test_meets_no_more_than_so_many(
    orders: int, quantity: str, limit: str | None, met: int, stopped: str | None
) -> None:
    book = [resting(number, (SOMEBODY, "100", "1")) for number in range(orders)]
    outcome = match(
        book,
        side=BUY,
        user_id=ME,
        quantity=Decimal(quantity),
        limit=None if limit is None else Decimal(limit),
        max_fills=3,
    )
    assert (len(outcome.fills), outcome.stopped) == (met, stopped)


def test_reads_no_further_than_needed() -> None:
    read = []

    def book() -> Iterator[Resting]:
        for number in range(1000):
            read.append(number)
            yield resting(number, (SOMEBODY, str(100 + number), "1"))

    match(book(), side=BUY, user_id=ME, quantity=Decimal(2), limit=None)
    assert read == [0, 1]
    read.clear()
    match(book(), side=BUY, user_id=ME, quantity=Decimal(5), limit=Decimal(101))
    assert read == [0, 1, 2]


def test_a_request_ends() -> None:
    endless = (resting(number, (SOMEBODY, "1", "1")) for number in iter(int, 1))
    outcome = match(endless, side=BUY, user_id=ME, quantity=Decimal(10) ** 12, limit=None)
    assert (len(outcome.fills), outcome.stopped) == (MAX_FILLS, "fill_limit")


@pytest.mark.parametrize(
    ("price", "side", "limit", "expected"),
    [
        ("1", BUY, None, True),
        ("1", SELL, None, True),
        ("1", BUY, "1", True),
        ("1", SELL, "1", True),
        ("1.01", BUY, "1", False),
        ("0.99", SELL, "1", False),
        ("0.99", BUY, "1", True),
        ("1.01", SELL, "1", True),
    ],
)
def test_acceptable(price: str, side: Order.Side, limit: str | None, expected: bool) -> None:  # noqa: FBT001 - a column
    assert acceptable(Decimal(price), side, None if limit is None else Decimal(limit)) is expected
