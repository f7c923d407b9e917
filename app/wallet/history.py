"""What a customer did and what happened to them: as rows of a page, and all of it as CSV."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from django.db.models import Model, QuerySet

from accounts.models import User
from ledger.amounts import format_amount
from ledger.models import Asset, Posting
from markets.models import Order, Trade
from markets.queries import latest_trades_of, orders, trades_of
from wallet.queries import movements, postings

Row = TypeVar("Row", bound=Model)
PAGE: Final = 50
# How many rows an export reads at once.
PORTION: Final = 1000


@dataclass(frozen=True)
class OwnTrade:
    """A trade as one of its two customers sees it."""

    trade: Trade
    order: Order
    # Whether the order waited in the book.
    maker: bool

    @classmethod
    def of(cls, user: User, trade: Trade) -> OwnTrade:
        """Look at a trade with the eyes of one of its customers; no customer trades with themselves."""
        maker = trade.maker_order.user_id == user.pk
        return cls(trade, trade.maker_order if maker else trade.taker_order, maker)

    @property
    def value(self) -> Decimal:
        """What was paid for it, of the quote asset."""
        return self.trade.price * self.trade.quantity

    @property
    def fee(self) -> Decimal:
        """What the house kept of what was received."""
        return self.trade.maker_fee if self.maker else self.trade.taker_fee

    @property
    def fee_asset(self) -> Asset:
        """What was received."""
        return self.trade.market.base if self.order.side == Order.Side.BUY else self.trade.market.quote


@dataclass(frozen=True)
class History(Generic[Row]):
    """One kind of history."""

    # What pages show: so many, each with a number, those with a number below the given one. What an export holds. Both
    # newest first.
    shown: Callable[[User, int | None, int], Sequence[tuple[int, Any]]]
    exported: Callable[[User], QuerySet[Row]]
    header: Sequence[str]
    cells: Callable[[User, Row], Sequence[str]]


def plain(amount: Decimal | None, decimals: int) -> str:
    """Write an amount for a program: exactly, without groups."""
    return "" if amount is None else format_amount(amount, decimals, grouped=False)


def orders_of(user: User) -> QuerySet[Order]:
    """Return all of a customer's orders, newest first."""
    return Order.objects.filter(user=user).select_related("market").order_by("-pk")


def shown_movements(user: User, before: int | None, limit: int) -> Sequence[tuple[int, Posting]]:
    """Return the latest movements for a page."""
    return [(posting.pk, posting) for posting in movements(user, before, limit)]


def shown_orders(user: User, before: int | None, limit: int) -> Sequence[tuple[int, Order]]:
    """Return the latest orders for a page."""
    return [(order.pk, order) for order in orders(user, before=before, limit=limit)]


def shown_trades(user: User, before: int | None, limit: int) -> Sequence[tuple[int, OwnTrade]]:
    """Return the latest trades for a page, as the customer sees them."""
    return [(number, OwnTrade.of(user, trade)) for number, trade in latest_trades_of(user, before, limit)]


def movement_cells(_user: User, posting: Posting) -> Sequence[str]:
    """Write a posting."""
    movement, asset = posting.movement, posting.asset
    amount = plain(posting.amount, asset.decimals)
    return (str(movement.pk), moment(movement.created_at), movement.kind, asset.pk, amount, posting.account.kind)


def order_cells(_user: User, order: Order) -> Sequence[str]:
    """Write an order."""
    market = order.market
    quantities = (plain(amount, market.quantity_decimals) for amount in (order.quantity, order.filled))
    return (
        *(str(order.pk), moment(order.created_at), moment(order.closed_at), market.pk, order.side, order.kind),
        *(plain(order.price, market.price_decimals), *quantities),
        *(order.status, order.reason, order.idempotency_key),
    )


def trade_cells(user: User, trade: Trade) -> Sequence[str]:
    """Write a trade."""
    own, market = OwnTrade.of(user, trade), trade.market
    return (
        *(str(trade.pk), moment(trade.created_at), market.pk, own.order.side, "maker" if own.maker else "taker"),
        *(plain(trade.price, market.price_decimals), plain(trade.quantity, market.quantity_decimals)),
        *(plain(own.value, market.quote.decimals), plain(own.fee, own.fee_asset.decimals), own.fee_asset.pk),
        str(own.order.pk),
    )


def moment(value: Any) -> str:
    """Write a time (ISO 8601, UTC)."""
    return value.isoformat(timespec="milliseconds") if value else ""


HISTORIES: Final[dict[str, History[Any]]] = {
    "movements": History(
        shown_movements, postings, ("movement", "time", "what", "asset", "amount", "account"), movement_cells
    ),
    "orders": History(
        shown_orders,
        orders_of,
        (
            *("order", "time", "closed", "market", "side", "type", "price", "quantity", "filled", "status", "reason"),
            "idempotency_key",
        ),
        order_cells,
    ),
    "trades": History(
        shown_trades,
        trades_of,
        (
            *("trade", "time", "market", "side", "role", "price", "quantity", "value", "fee", "fee_asset"),
            "order",
        ),
        trade_cells,
    ),
}


def page_of(user: User, what: str, before: int | None) -> tuple[list[Any], int | None]:
    """Return a page of rows, and by which number to ask for the next one; None if there are no more."""
    found = HISTORIES[what].shown(user, before, PAGE + 1)
    return [row for _, row in found[:PAGE]], found[PAGE - 1][0] if len(found) > PAGE else None


def rows_of(user: User, what: str) -> Iterator[Sequence[str]]:
    """Read the header and all rows that a customer has now, a portion at a time.

    There is no cursor that would have to outlive a transaction: behind a pooler it couldn't.
    """
    chosen = HISTORIES[what]
    yield chosen.header
    ids = array("q", chosen.exported(user).values_list("pk", flat=True))
    for start in range(0, len(ids), PORTION):
        for row in chosen.exported(user).filter(pk__in=ids[start : start + PORTION].tolist()):
            yield chosen.cells(user, row)
