"""Placing and cancelling orders: each one transaction, which has the market to itself.

Locks are taken in one order everywhere: the market, the customer's row (shared), accounts, holds. All postings of a
transaction are one statement, so accounts are locked in the order of their ids and two markets can't deadlock.

Everybody on the market waits from the lock to the commit, so there is little in between: one round trip that locks and
reads (lookup.py), the matching (matching.py), and one round trip that writes (settlement.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog
from django.db import IntegrityError, transaction

from accounts.freezing import refuse_if
from accounts.models import User
from ledger.amounts import MAX_AMOUNT
from ledger.batch import Batch
from ledger.errors import IdempotencyConflict
from ledger.models import Account, Hold, Movement
from ledger.services.accounts import accounts_of
from ledger.services.movements import Entry, Line, add_movements, overdrafts_refused, violated_constraint
from markets import metrics
from markets.errors import InvalidOrder, MarketClosed, OrderClosed, UnknownOrder
from markets.matching import Outcome, match
from markets.models import Market, Order, Trade
from markets.services.lookup import LOCK_MARKET, Situation, look_up, open_accounts
from markets.services.settlement import add_trades, assets, settle, trades_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class OrderRequest:
    """What a customer asks for: a limit order if it names a price, else a market order."""

    market: str
    side: Order.Side
    quantity: Decimal
    price: Decimal | None = None

    @property
    def kind(self) -> Order.Kind:
        """Limit or market."""
        return Order.Kind.MARKET if self.price is None else Order.Kind.LIMIT


def place_order(user: User, request: OrderRequest, idempotency_key: str) -> Order:
    """Match an order at once, and let the rest of a limit order wait in the book.

    What it trades is paid out of what is available, at the resting orders' prices; what waits is held at its own. A
    market order's rest is cancelled. The same request with the same key returns the first one's order.

    Raises:
        UnknownMarket, MarketClosed, InvalidOrder, AccountFrozen: as they say.
        InsufficientFunds: less than the order would pay and hold is available; nothing of it happens.
        IdempotencyConflict: the key was used for another order.
    """
    with transaction.atomic():
        return place_in_transaction(user, request, idempotency_key)[0]


def place_in_transaction(
    user: User, request: OrderRequest, idempotency_key: str, *, at: datetime | None = None
) -> tuple[Order, Sequence[Trade] | None]:
    """Place an order as a part of the caller's transaction, which is over after an error.

    `at` is when it is said to have happened, for a made-up past; None: now, by the database's clock.

    Returns:
        The order and what it traded; None instead of trades if the order was placed before, by the same request.
    """
    found = look_up(user, request.market, request.side, idempotency_key)
    locked_at = time.monotonic()
    if found.placed_before is not None:
        return _same(Order.objects.select_related("market").get(pk=found.placed_before), request), None
    market = found.market
    check_order(request, market)
    refuse_if(frozen=found.frozen)
    try:
        order, trades = _match_and_write(user, request, idempotency_key, found, at or found.now)
    except IntegrityError as error:
        # The same key at the same moment on another market: one lock more would keep it from getting here.
        if violated_constraint(error) == "order_once":
            raise IdempotencyConflict("This key was used before, for another order.") from error
        raise
    seconds = time.monotonic() - locked_at

    def tell() -> None:
        metrics.count_order(order, len(trades), seconds)
        log.info(
            "order placed",
            order_id=order.pk,
            market=market.pk,
            side=order.side,
            status=order.status,
            trade_ids=[trade.pk for trade in trades],
        )

    transaction.on_commit(tell, robust=True)
    return order, trades


def cancel_order(user: User, order_id: int, reason: Order.Reason = Order.Reason.REQUESTED) -> Order:
    """Take what remains of an order out of the book and give back what it held. Cancelling twice does it once.

    Raises:
        UnknownOrder: the customer has none with this id.
        OrderClosed: it has been filled.
    """
    with transaction.atomic():
        code = Order.objects.filter(pk=order_id, user=user).values_list("market", flat=True).first()
        if code is None:
            raise UnknownOrder("You have no such order.")
        order, now = _lock_order(code, order_id)
        if order.status == Order.Status.CANCELLED:
            return order
        if order.status == Order.Status.FILLED or order.hold_id is None:
            raise OrderClosed("This order has been filled already.")
        paid_with, _ = assets(order.market, Order.Side(order.side))
        accounts = accounts_of(user, [paid_with.pk])[user.pk, paid_with.pk]
        held = _value(Order.Side(order.side), order.remaining, order.price)
        lines = [Line(accounts.held, -held, order.hold_id), Line(accounts.available, held)]
        batch = Batch()
        add_movements(batch, [Entry(Movement.Kind.RELEASE, f"cancel:{order.pk}", lines)])
        order.status, order.reason, order.closed_at = Order.Status.CANCELLED, reason, now
        batch.add(
            "UPDATE markets_order SET status = 'cancelled', reason = %s, closed_at = %s WHERE id = %s",
            reason.value,
            now,
            order.pk,
        )
        batch.run()
    transaction.on_commit(lambda: metrics.count_cancel(order), robust=True)
    log.info("order cancelled", order_id=order.pk, market=order.market_id, reason=reason.value)
    return order


def check_order(request: OrderRequest, market: Market) -> None:
    """Raise InvalidOrder or MarketClosed unless the market takes such an order."""
    if not market.is_open:
        raise MarketClosed(f"{market.pk} takes no orders at the moment.")
    quantity, price = request.quantity, request.price
    if not quantity.is_finite() or quantity <= 0:
        raise InvalidOrder("The quantity must be more than zero.", "quantity")
    if quantity > MAX_AMOUNT:
        raise InvalidOrder(f"The quantity must be at most {MAX_AMOUNT:,}.", "quantity")
    if quantity % market.lot_size:
        raise InvalidOrder(
            f"The quantity must be a multiple of {market.lot_size.normalize():f} {market.base_id}.", "quantity"
        )
    if price is None:
        return
    if not price.is_finite() or price <= 0:
        raise InvalidOrder("The price must be more than zero.", "price")
    if price > MAX_AMOUNT or price * quantity > MAX_AMOUNT:
        raise InvalidOrder(f"Price times quantity must be at most {MAX_AMOUNT:,}.", "price")
    if price % market.tick_size:
        raise InvalidOrder(
            f"The price must be a multiple of {market.tick_size.normalize():f} {market.quote_id}.", "price"
        )


def _lock_order(market: str, order_id: int) -> tuple[Order, datetime]:
    """Lock the order's market, and return the order as it is then, and the database's time."""
    batch = Batch()
    batch.add(LOCK_MARKET, market)
    batch.add("SELECT clock_timestamp()")
    _, [(now,)] = batch.run()
    return Order.objects.select_related("market__base", "market__quote").get(pk=order_id), now


def _same(order: Order, request: OrderRequest) -> Order:
    wanted = (request.market, request.side.value, request.kind.value, request.quantity, request.price)
    if (order.market_id, order.side, order.kind, order.quantity, order.price) != wanted:
        raise IdempotencyConflict("This key was used before, for another order.")
    return order


def _match_and_write(
    user: User, request: OrderRequest, idempotency_key: str, found: Situation, now: datetime
) -> tuple[Order, list[Trade]]:
    market, side = found.market, request.side
    outcome = match(found.other_side, side=side, user_id=user.pk, quantity=request.quantity, limit=request.price)
    order = Order(
        pk=found.order_id,
        user=user,
        market=market,
        side=side.value,
        kind=request.kind.value,
        price=request.price,
        quantity=request.quantity,
        filled=request.quantity - outcome.remaining,
        idempotency_key=idempotency_key,
        created_at=now,
        closed_at=now,
    )
    _decide(order, outcome)
    paid_with, received = (asset.pk for asset in assets(market, side))
    available, held = (Account.Kind.AVAILABLE.value, paid_with), (Account.Kind.HELD.value, paid_with)
    accounts = found.accounts
    if not {available, (Account.Kind.AVAILABLE.value, received)} <= accounts.keys():
        accounts = {**accounts, **open_accounts(user, market)}
    settled = settle(order.pk, market, side, outcome.fills, accounts)
    entries = [item.entry for item in settled]
    batch = Batch()
    if order.status == Order.Status.OPEN:
        order.hold = Hold(account_id=accounts[held].pk, purpose=Hold.Purpose.ORDER.value, created_at=now)
        _add_hold(batch, order.hold)
        amount = _value(side, order.remaining, order.price)
        lines = [Line(accounts[available], -amount), Line(accounts[held], amount, order.hold.pk)]
        entries.append(Entry(Movement.Kind.HOLD, f"order:{order.pk}", lines))
    _add_order(batch, order)
    if entries:
        add_movements(batch, entries)
    written = add_trades(batch, order, settled) if settled else None
    with overdrafts_refused():
        rows = batch.run()
    return order, [] if written is None else trades_of(order, settled, rows[written])


def _decide(order: Order, outcome: Outcome) -> None:
    """Set the order's status."""
    if not outcome.remaining:
        order.status = Order.Status.FILLED.value
    elif outcome.stopped:
        order.status, order.reason = Order.Status.CANCELLED.value, outcome.stopped.value
    else:
        order.status, order.closed_at = Order.Status.OPEN.value, None


def _value(side: Order.Side, quantity: Decimal, price: Decimal | None) -> Decimal:
    """Return what a waiting quantity holds."""
    if side == Order.Side.SELL:
        return quantity
    if price is None:
        raise ValueError("a buy order without a price can't wait")
    return quantity * price


def _add_hold(batch: Batch, hold: Hold) -> None:
    batch.add(
        "INSERT INTO ledger_hold (id, account_id, purpose, remaining, created_at) VALUES (%s, %s, %s, 0, %s)",
        hold.pk,
        hold.account_id,
        hold.purpose,
        hold.created_at,
    )


def _add_order(batch: Batch, order: Order) -> None:
    fields = [field.attname for field in Order._meta.concrete_fields]  # noqa: SLF001 - Django's name for it
    batch.add(
        f"INSERT INTO markets_order ({', '.join(fields)}) VALUES ({', '.join(['%s'] * len(fields))})",  # noqa: S608
        *[getattr(order, field) for field in fields],
    )
