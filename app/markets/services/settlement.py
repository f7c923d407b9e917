"""What each fill moves: the base asset one way, the quote asset the other, and the fees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Decimal

from ledger.models import Account, Asset, Hold, Movement
from ledger.services.accounts import CustomerAccounts
from ledger.services.movements import Entry, Line
from markets.matching import Fill
from markets.models import Order, Trade

Accounts = Mapping[tuple[int, str], CustomerAccounts]


def fee(received: Decimal, rate: Decimal, asset: Asset) -> Decimal:
    """Return the share of what is received that the house keeps, rounded down to the asset's smallest unit."""
    return (received * rate).quantize(asset.unit, ROUND_DOWN)


def settle(order: Order, fills: Sequence[Fill], accounts: Accounts) -> tuple[list[Entry], list[Trade]]:
    """Return a movement and a trade for each fill of an incoming order; neither is written yet.

    The incoming order (the taker) pays out of what is available, the resting one (the maker) out of its hold. Each
    side's fee is taken from what it receives.
    """
    if not fills:
        return [], []
    market, buying = order.market, order.side == Order.Side.BUY
    fees = {
        account.asset_id: account
        for account in Account.objects.filter(
            owner=None, kind=Account.Kind.FEES, asset_id__in=[market.base_id, market.quote_id]
        )
    }
    entries, trades = [], []
    for fill in fills:
        base, quote = (market.base, fill.quantity), (market.quote, fill.quantity * fill.price)
        taken, given = (base, quote) if buying else (quote, base)
        taker_fee, maker_fee = fee(taken[1], market.taker_fee, taken[0]), fee(given[1], market.maker_fee, given[0])
        maker = fill.resting
        taker_pays, maker_pays = accounts[order.user_id, given[0].pk], accounts[maker.user_id, taken[0].pk]
        taker_gets, maker_gets = accounts[order.user_id, taken[0].pk], accounts[maker.user_id, given[0].pk]
        lines = [
            Line(taker_pays.available, -given[1]),
            Line(maker_gets.available, given[1] - maker_fee),
            Line(fees[given[0].pk], maker_fee),
            Line(maker_pays.held, -taken[1], Hold(pk=maker.hold_id)),
            Line(taker_gets.available, taken[1] - taker_fee),
            Line(fees[taken[0].pk], taker_fee),
        ]
        entries.append(
            Entry(Movement.Kind.TRADE, f"trade:{order.pk}:{maker.pk}", [line for line in lines if line.amount])
        )
        trades.append(
            Trade(
                market=market,
                price=fill.price,
                quantity=fill.quantity,
                taker_side=order.side,
                taker_order=order,
                maker_order=maker,
                taker_fee=taker_fee,
                maker_fee=maker_fee,
                created_at=order.created_at,
            )
        )
    return entries, trades
