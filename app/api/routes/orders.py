"""A customer's orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, cast

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from accounts.models import User
from api.auth import TRADE
from api.idempotency import IdempotencyKey, once
from api.paging import Cursor, Limit, decode_id, encode
from api.responses import problems
from api.routes.markets import find_market
from api.schemas import OrderIn, OrderOut, OrderWithTrades, Page
from markets import queries
from markets.errors import UnknownOrder
from markets.models import Order, Trade
from markets.services.orders import OrderRequest, cancel_order, place_in_transaction

router = Router(tags=["Orders"])


def customer(request: HttpRequest) -> User:
    """Return who sent the request."""
    return cast("User", request.auth)  # type: ignore[attr-defined]


def trades_of(order: Order) -> list[Trade]:
    """Return what an order traded, earliest first."""
    return list(Trade.objects.filter(Q(taker_order=order) | Q(maker_order=order)).order_by("pk"))


@router.post(
    "",
    auth=TRADE,
    response={201: OrderWithTrades, **problems(400, 401, 403, 404, 409, 413, 415, 422)},
    operation_id="place_order",
    url_name="orders",
    summary="Place an order",
)
def place(request: HttpRequest, payload: OrderIn, idempotency_key: IdempotencyKey) -> HttpResponse:
    """Place an order.

    It is matched at once: it pays the resting orders' prices. What remains of a limit order waits in the book, and what
    it would pay is held; what remains of a market order is cancelled.
    """
    user = customer(request)
    price = None if payload.price is None else Decimal(payload.price)
    wanted = OrderRequest(payload.market, Order.Side(payload.side), Decimal(payload.quantity), price)

    def work() -> tuple[int, str]:
        order, trades = place_in_transaction(user, wanted, idempotency_key)
        known = trades_of(order) if trades is None else list(trades)
        return 201, OrderWithTrades.with_trades(order, known).model_dump_json()

    return once(request, user, idempotency_key, payload, work)


@router.get(
    "",
    response={200: Page[OrderOut], **problems(401, 403, 404, 422)},
    operation_id="list_orders",
    url_name="orders",
    summary="List your orders",
)
def list_orders(
    request: HttpRequest,
    market: Annotated[str | None, Query(description="A market's code.")] = None,
    status: Literal["open", "filled", "cancelled"] | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OrderOut]:
    """Your orders, latest first."""
    found = queries.orders(
        customer(request),
        market=None if market is None else find_market(market),
        status=None if status is None else Order.Status(status),
        before=decode_id(cursor),
        limit=limit + 1,
    )
    more = len(found) > limit
    return Page[OrderOut](
        items=[OrderOut.of(order) for order in found[:limit]],
        next_cursor=encode(str(found[limit - 1].pk)) if more else None,
    )


@router.get(
    "/{int:order_id}",
    response={200: OrderWithTrades, **problems(401, 403, 404, 422)},
    operation_id="get_order",
    url_name="order",
    summary="Read an order",
)
def get_order(request: HttpRequest, order_id: int) -> OrderWithTrades:
    """One of your orders, with its trades."""
    order = Order.objects.filter(pk=order_id, user=customer(request)).select_related("market").first()
    if order is None:
        raise UnknownOrder("You have no such order.")
    return OrderWithTrades.with_trades(order, trades_of(order))


@router.delete(
    "/{int:order_id}",
    auth=TRADE,
    response={200: OrderWithTrades, **problems(401, 403, 404, 409, 422)},
    operation_id="cancel_order",
    url_name="order",
    summary="Cancel an order",
)
def cancel(request: HttpRequest, order_id: int) -> OrderWithTrades:
    """Cancel what remains of an order. Cancelling again does nothing and answers the same."""
    order = cancel_order(customer(request), order_id)
    return OrderWithTrades.with_trades(order, trades_of(order))
