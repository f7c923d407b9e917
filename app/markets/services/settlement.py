"""What each fill moves: the base asset one way, the quote asset the other, and the fees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from ledger.batch import Batch, Row
from ledger.models import Account, Asset, Movement
from ledger.services.movements import Entry, Line
from markets.matching import Fill
from markets.models import Market, Order, Trade
from markets.services.lookup import AccountKey


@dataclass(frozen=True, slots=True)
class Settled:
    """A fill with what it moves, not written yet."""

    fill: Fill
    entry: Entry
    taker_fee: Decimal
    maker_fee: Decimal


def fee(received: Decimal, rate: Decimal, asset: Asset) -> Decimal:
    """Return the share of what is received that the house keeps, rounded down to the asset's smallest unit."""
    return (received * rate).quantize(asset.unit, ROUND_DOWN)


def assets(market: Market, side: Order.Side) -> tuple[Asset, Asset]:
    """Return what an order of the side pays with, and what it receives."""
    return (market.quote, market.base) if side == Order.Side.BUY else (market.base, market.quote)


def settle(
    order_id: int,
    market: Market,
    side: Order.Side,
    fills: Sequence[Fill],
    accounts: Mapping[tuple[str, str], AccountKey],
) -> list[Settled]:
    """Return what each fill of an incoming order moves.

    The incoming order (the taker) pays out of what is available, the resting one (the maker) out of its hold. Each
    side's fee is taken from what it receives.

    Args:
        order_id: the incoming order's.
        market: where they meet.
        side: the incoming order's.
        fills: whom it meets, for how much.
        accounts: the incoming order's owner's and the house's, by kind and asset.
    """
    pays, gets = assets(market, side)
    available, fees = Account.Kind.AVAILABLE.value, Account.Kind.FEES.value
    settled = []
    for fill in fills:
        maker = fill.resting
        given, taken = (fill.value, fill.quantity) if side == Order.Side.BUY else (fill.quantity, fill.value)
        taker_fee, maker_fee = fee(taken, market.taker_fee, gets), fee(given, market.maker_fee, pays)
        lines = [
            Line(accounts[available, pays.pk], -given),
            Line(AccountKey(maker.paid_account_id, pays.pk), given - maker_fee),
            Line(accounts[fees, pays.pk], maker_fee),
            Line(AccountKey(maker.held_account_id, gets.pk), -taken, maker.hold_id),
            Line(accounts[available, gets.pk], taken - taker_fee),
            Line(accounts[fees, gets.pk], taker_fee),
        ]
        key = f"trade:{order_id}:{maker.id}"
        entry = Entry(Movement.Kind.TRADE, key, [line for line in lines if line.amount])
        settled.append(Settled(fill, entry, taker_fee, maker_fee))
    return settled


def add_trades(batch: Batch, order: Order, settled: Sequence[Settled]) -> int:
    """Add the statements that write trades and note on the resting orders what was taken of them.

    Their movements must have been added before. Returns where the trades' rows will be.
    """
    makers, quantities = [item.fill.resting.id for item in settled], [item.fill.quantity for item in settled]
    place = batch.add(
        """
        INSERT INTO markets_trade (market_id, price, quantity, taker_side, taker_order_id, maker_order_id, taker_fee,
            maker_fee, movement_id, created_at)
        SELECT %s, t.price, t.quantity, %s, %s, t.maker, t.taker_fee, t.maker_fee, m.id, %s
        FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::text[])
            WITH ORDINALITY AS t (maker, price, quantity, taker_fee, maker_fee, key, number)
        JOIN ledger_movement m ON m.key = t.key ORDER BY t.number RETURNING id, maker_order_id, movement_id
        """,
        order.market_id,
        order.side,
        order.pk,
        order.created_at,
        makers,
        [item.fill.resting.price for item in settled],
        quantities,
        [item.taker_fee for item in settled],
        [item.maker_fee for item in settled],
        [item.entry.key for item in settled],
    )
    batch.add(
        """
        UPDATE markets_order o SET
            filled = o.filled + f.quantity,
            status = CASE WHEN o.filled + f.quantity = o.quantity THEN 'filled' ELSE 'open' END,
            closed_at = CASE WHEN o.filled + f.quantity = o.quantity THEN %s END
        FROM unnest(%s::bigint[], %s::numeric[]) AS f (id, quantity) WHERE o.id = f.id
        """,
        order.created_at,
        makers,
        quantities,
    )
    return place


def trades_of(order: Order, settled: Sequence[Settled], rows: Sequence[Row]) -> list[Trade]:
    """Return the trades that were written, by the rows that the database returned."""
    by_maker = {maker: (pk, movement) for pk, maker, movement in rows}
    return [
        Trade(
            pk=by_maker[item.fill.resting.id][0],
            market=order.market,
            price=item.fill.resting.price,
            quantity=item.fill.quantity,
            taker_side=order.side,
            taker_order=order,
            maker_order_id=item.fill.resting.id,
            taker_fee=item.taker_fee,
            maker_fee=item.maker_fee,
            movement_id=by_maker[item.fill.resting.id][1],
            created_at=order.created_at,
        )
        for item in settled
    ]
