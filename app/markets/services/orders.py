"""Placing and cancelling orders: each one transaction, which has the market to itself.

Locks are taken in one order everywhere: the market, the customer's row (shared), accounts, holds. All postings of a
transaction are one statement, so accounts are locked in the order of their ids and two markets can't deadlock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from accounts.freezing import check_not_frozen
from accounts.models import User
from ledger.amounts import MAX_AMOUNT
from ledger.errors import IdempotencyConflict
from ledger.models import Hold, Movement
from ledger.services.accounts import accounts_of
from ledger.services.movements import Entry, Line, violated_constraint, write
from markets import metrics
from markets.errors import InvalidOrder, MarketClosed, OrderClosed, UnknownMarket, UnknownOrder
from markets.matching import Fill, Outcome, match
from markets.models import Market, Order, Trade
from markets.services.settlement import settle

log = structlog.get_logger(__name__)

# How many resting orders are read at first, and at the most: most incoming orders meet one or two.
FIRST_READ: Final = 8
LARGEST_READ: Final = 512


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
    market = _lock_market(request.market)
    locked_at = time.monotonic()
    if before := Order.objects.filter(user=user, idempotency_key=idempotency_key).select_related("market").first():
        return _same(before, request), None
    check_order(request, market)
    now = check_not_frozen(user)
    try:
        order, trades = _match_and_write(user, market, request, idempotency_key, at or now)
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
        _lock_market(code)
        order = Order.objects.select_related("market", "hold").get(pk=order_id)
        if order.status == Order.Status.CANCELLED:
            return order
        if order.status == Order.Status.FILLED or order.hold is None:
            raise OrderClosed("This order has been filled already.")
        accounts = accounts_of(user, [order.hold.account.asset_id])[user.pk, order.hold.account.asset_id]
        held = _value(order.market, Order.Side(order.side), order.remaining, order.price)
        lines = [Line(accounts.held, -held, order.hold), Line(accounts.available, held)]
        write([Entry(Movement.Kind.RELEASE, f"cancel:{order.pk}", lines)])
        order.status, order.reason, order.closed_at = Order.Status.CANCELLED, reason, _database_time()
        order.save(update_fields=["status", "reason", "closed_at"])
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


def _lock_market(code: str) -> Market:
    locked = Market.objects.select_for_update(of=("self",), no_key=True).select_related("base", "quote")
    market = locked.filter(pk=code).first()
    if market is None:
        raise UnknownMarket("There is no such market.")
    return market


def _same(order: Order, request: OrderRequest) -> Order:
    wanted = (request.market, request.side.value, request.kind.value, request.quantity, request.price)
    if (order.market_id, order.side, order.kind, order.quantity, order.price) != wanted:
        raise IdempotencyConflict("This key was used before, for another order.")
    return order


def _match_and_write(
    user: User, market: Market, request: OrderRequest, idempotency_key: str, now: datetime
) -> tuple[Order, Sequence[Trade]]:
    side = request.side
    outcome = match(
        _other_side(market, side), side=side, user_id=user.pk, quantity=request.quantity, limit=request.price
    )
    order = Order(
        user=user,
        market=market,
        side=side,
        kind=request.kind,
        price=request.price,
        quantity=request.quantity,
        filled=request.quantity - outcome.remaining,
        idempotency_key=idempotency_key,
        created_at=now,
        closed_at=now,
    )
    _decide(order, outcome)
    owners = {fill.resting.user_id for fill in outcome.fills}
    accounts = accounts_of(user, [market.base_id, market.quote_id], owners)
    paid_with = accounts[user.pk, market.quote_id if side == Order.Side.BUY else market.base_id]
    if order.status == Order.Status.OPEN:
        order.hold = Hold.objects.create(account=paid_with.held, purpose=Hold.Purpose.ORDER)
    order.save(force_insert=True)
    entries, trades = settle(order, outcome.fills, accounts)
    if order.hold:
        held = _value(market, side, order.remaining, order.price)
        lines = [Line(paid_with.available, -held), Line(paid_with.held, held, order.hold)]
        entries.append(Entry(Movement.Kind.HOLD, f"order:{order.pk}", lines))
    if entries:
        movements = write(entries)
        for trade, movement in zip(trades, movements, strict=False):
            trade.movement = movement
        Trade.objects.bulk_create(trades)
        _fill(outcome.fills, now)
    return order, trades


def _decide(order: Order, outcome: Outcome) -> None:
    """Set the order's status."""
    if not outcome.remaining:
        order.status = Order.Status.FILLED
    elif outcome.stopped:
        order.status, order.reason = Order.Status.CANCELLED, outcome.stopped
    else:
        order.status, order.closed_at = Order.Status.OPEN, None


def _value(market: Market, side: Order.Side, quantity: Decimal, price: Decimal | None) -> Decimal:
    """Return what a waiting quantity holds."""
    if side == Order.Side.SELL:
        return quantity
    if price is None:
        raise ValueError(f"a buy order without a price can't wait on {market.pk}")
    return quantity * price


def _other_side(market: Market, side: Order.Side) -> Iterator[Order]:
    """Read the open orders that an incoming one may meet, best first, in growing portions."""
    buying = side == Order.Side.BUY
    found = Order.objects.filter(market=market, status="open", side="sell" if buying else "buy")
    found = found.order_by("price" if buying else "-price", "id")
    size, after = FIRST_READ, Q()
    while True:
        portion = list(found.filter(after)[:size])
        yield from portion
        if len(portion) < size:
            return
        last, beyond = portion[-1], "price__gt" if buying else "price__lt"
        after = Q(**{beyond: last.price}) | Q(price=last.price, id__gt=last.pk)
        size = min(size * 8, LARGEST_READ)


def _fill(fills: Sequence[Fill], now: datetime) -> None:
    """Note on the resting orders what was taken of them."""
    if not fills:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE markets_order o SET
                filled = o.filled + f.quantity,
                status = CASE WHEN o.filled + f.quantity = o.quantity THEN 'filled' ELSE 'open' END,
                closed_at = CASE WHEN o.filled + f.quantity = o.quantity THEN %s END
            FROM unnest(%s::bigint[], %s::numeric[]) AS f (id, quantity) WHERE o.id = f.id
            """,
            [now, [fill.resting.pk for fill in fills], [fill.quantity for fill in fills]],
        )


def _database_time() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
