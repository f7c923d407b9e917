"""What became of an order, or would become of one, in words and figures for a customer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db.models import F, Sum

from ledger.amounts import format_amount
from ledger.models import Asset
from markets import queries
from markets.matching import acceptable
from markets.models import Market, Order
from markets.services.orders import OrderRequest
from markets.services.settlement import fee

# How deep an estimate looks into the book.
ESTIMATE_LEVELS: Final = 200


@dataclass(frozen=True)
class Report:
    """What became of an order; well unless it bought or sold less than was asked for, and doesn't wait either."""

    text: str
    well: bool


def report(order: Order) -> Report:
    """Say what became of an order that was just placed."""
    market = order.market
    wanted = f"{format_amount(order.quantity, market.quantity_decimals)} {market.base_id}"
    verb = "Bought" if order.side == Order.Side.BUY else "Sold"
    if not order.filled and order.status == Order.Status.OPEN:
        at = f"{format_amount(order.price or Decimal(0), market.price_decimals)} {market.quote_id}"
        return Report(f"Your order to {order.side} {wanted} at {at} waits in the book.", well=True)
    if not order.filled:
        return Report(f"Nothing was {verb.lower()}: {order.get_reason_display()}.", well=False)
    total = order.taken.aggregate(total=Sum(F("price") * F("quantity")))["total"] or Decimal(0)
    average = f"{total / order.filled:,.{market.price_decimals}f} {market.quote_id}"
    if order.status == Order.Status.FILLED:
        return Report(f"{verb} {wanted} at {average} on average.", well=True)
    part = f"{verb} {format_amount(order.filled, market.quantity_decimals)} of {wanted} at {average} on average"
    if order.status == Order.Status.OPEN:
        return Report(f"{part}; the rest waits in the book.", well=True)
    return Report(f"{part}; the rest was cancelled: {order.get_reason_display()}.", well=False)


@dataclass(frozen=True)
class Estimate:
    """What an order would do if it came now."""

    side: Order.Side
    # Of the base asset: what would trade at once, and what would wait (limit) or be cancelled (market).
    at_once: Decimal
    rest: Decimal
    waits: bool
    # Of the quote asset: what the part that trades costs or brings, and what the waiting part would.
    value: Decimal
    rest_value: Decimal
    average: Decimal | None
    # Of what is received at once.
    fee: Decimal
    fee_asset: Asset


def estimate(request: OrderRequest, market: Market) -> Estimate:
    """Walk the book as it is now; an order placed a moment later may fare otherwise."""
    buying = request.side == Order.Side.BUY
    book = queries.book(market, ESTIMATE_LEVELS)
    left, value = request.quantity, Decimal(0)
    for level in book.asks if buying else book.bids:
        if not left or not acceptable(level.price, request.side, request.price):
            break
        taken = min(left, level.quantity)
        left, value = left - taken, value + taken * level.price
    at_once = request.quantity - left
    received, asset = (at_once, market.base) if buying else (value, market.quote)
    return Estimate(
        side=request.side,
        at_once=at_once,
        rest=left,
        waits=request.price is not None,
        value=value,
        rest_value=left * (request.price or 0),
        average=value / at_once if at_once else None,
        fee=fee(received, market.taker_fee, asset),
        fee_asset=asset,
    )
