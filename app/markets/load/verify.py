"""Comparing a load's record with the database: what was acknowledged is there, once, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q
from django.utils.dateparse import parse_datetime

from markets.load.record import Event
from markets.models import Order, Trade

CREATED, OK = 201, 200
REFUSED: Final = range(400, 500)
KEY_PREFIX: Final = "load-"


class RecordError(Exception):
    """The record can't be used."""


@dataclass
class Request:
    """What the record says of one key."""

    trader: str
    kind: str
    path: str
    body: Mapping[str, str | None]
    answer: Event | None = None
    failed: bool = False  # a try of which nobody knows whether it did anything


@dataclass
class Verdict:
    """What was found."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def verify(events: Iterable[Event]) -> Verdict:
    """Compare.

    Raises:
        RecordError: it isn't the record of a load.
    """
    run, traders, requests = _collect(events)
    verdict = Verdict()
    placed = Order.objects.filter(user__username__in=traders).select_related("user")
    by_key: dict[tuple[str, str], list[Order]] = {}
    for order in placed.filter(idempotency_key__startswith=f"{run}-"):
        by_key.setdefault((order.user.get_username(), order.idempotency_key), []).append(order)
    trades = _trades([order.pk for orders in by_key.values() for order in orders])

    for key, request in requests.items():
        if request.kind == "order":
            _verify_order(verdict, key, request, by_key.pop((request.trader, key), []), trades)
    for (trader, key), orders in by_key.items():
        verdict.problems.append(f"order {orders[0].pk} of {trader} has the key {key}, which was never sent")
    for order in placed.exclude(idempotency_key__startswith=KEY_PREFIX)[:10]:
        verdict.problems.append(f"order {order.pk} of {order.user} has the key {order.idempotency_key} of no load")
    by_id = {order.pk: order for order in placed.filter(idempotency_key__startswith=f"{run}-")}
    for request in requests.values():
        if request.kind == "cancel":
            _verify_cancel(verdict, request, by_id.get(int(request.path.rpartition("/")[2])))
    return verdict


def _collect(events: Iterable[Event]) -> tuple[str, list[str], dict[str, Request]]:
    run, traders = None, []
    requests: dict[str, Request] = {}
    for event in events:
        kind = event["event"]
        if kind == "start":
            run, traders = event["run"], event["traders"]
        elif kind == "try" and event["number"] == 1:
            requests[event["key"]] = Request(event["trader"], event["kind"], event["path"], event["body"] or {})
        elif kind == "answered":
            requests[event["key"]].answer = event
        elif kind == "failed":
            requests[event["key"]].failed = True
    if run is None:
        raise RecordError("it has no start: this is not the record of a load")
    return run, traders, requests


def _trades(orders: list[int]) -> dict[int, Trade]:
    found: dict[int, Trade] = {}
    for start in range(0, len(orders), 1000):
        part = orders[start : start + 1000]
        for trade in Trade.objects.filter(Q(taker_order__in=part) | Q(maker_order__in=part)):
            found[trade.pk] = trade
    return found


def _verify_order(
    verdict: Verdict, key: str, request: Request, found: list[Order], trades: Mapping[int, Trade]
) -> None:
    answer = request.answer
    status = None if answer is None else answer["status"]
    if len(found) > 1:
        verdict.problems.append(f"{key} is there {len(found)} times")
    elif answer is not None and status == CREATED:
        verdict.counts["acknowledged"] += 1
        if not found:
            verdict.problems.append(f"{key} was acknowledged as order {answer['body']['id']} and is not there")
        else:
            verdict.problems += [f"{key}: {what}" for what in _differences(found[0], answer["body"], trades)]
            verdict.problems += [f"{key}: {what}" for what in _other_than_sent(found[0], request.body)]
    elif status in REFUSED and not request.failed:
        verdict.counts["refused"] += 1
        if found:
            verdict.problems.append(f"{key} was refused with {status} and is there as order {found[0].pk}")
    else:
        # No answer, or one after a try of which nobody knows: both are right, as long as it is there once at most.
        verdict.counts["unknown"] += 1
        verdict.counts["unknown and there"] += len(found)
        if found:
            verdict.problems += [f"{key}: {what}" for what in _other_than_sent(found[0], request.body)]


def _differences(order: Order, said: Mapping[str, Any], trades: Mapping[int, Trade]) -> list[str]:
    """Return what an order that was acknowledged no longer is."""
    same: dict[str, tuple[object, object]] = {
        "id": (order.pk, said["id"]),
        "market": (order.market_id, said["market"]),
        "side": (order.side, said["side"]),
        "kind": (order.kind, said["kind"]),
        "price": (order.price, None if said["price"] is None else Decimal(said["price"])),
        "quantity": (order.quantity, Decimal(said["quantity"])),
        "created_at": (order.created_at, parse_datetime(said["created_at"])),
    }
    if said["status"] != "open":
        same["status"] = (order.status, said["status"])
        same["filled"] = (order.filled, Decimal(said["filled"]))
        same["reason"] = (order.reason, said["reason"])
    found = [f"{name} is {now}, acknowledged was {then}" for name, (now, then) in same.items() if now != then]
    if order.filled < Decimal(said["filled"]):
        found.append(f"filled is {order.filled}, acknowledged was {said['filled']}")
    for fill in said["trades"]:
        trade = trades.get(fill["id"])
        if trade is None or order.pk not in {trade.taker_order_id, trade.maker_order_id}:
            found.append(f"trade {fill['id']} was acknowledged and is not there")
        elif (trade.price, trade.quantity) != (Decimal(fill["price"]), Decimal(fill["quantity"])):
            found.append(f"trade {fill['id']} is {trade}, acknowledged was {fill['quantity']} at {fill['price']}")
    return found


def _other_than_sent(order: Order, sent: Mapping[str, str | None]) -> list[str]:
    read: dict[str, Callable[[str], object]] = {"market": str, "side": str, "quantity": Decimal, "price": Decimal}
    now = {"market": order.market_id, "side": order.side, "quantity": order.quantity, "price": order.price}
    wanted = {name: None if sent.get(name) is None else parse(str(sent[name])) for name, parse in read.items()}
    return [f"{name} is {now[name]}, sent was {wanted[name]}" for name in read if now[name] != wanted[name]]


def _verify_cancel(verdict: Verdict, request: Request, order: Order | None) -> None:
    if request.answer is None:
        return
    verdict.counts["cancels answered"] += 1
    status = request.answer["status"]
    if order is None:
        verdict.problems.append(f"{request.path}: the order is not there")
    elif status == OK and order.status != Order.Status.CANCELLED:
        verdict.problems.append(f"order {order.pk} was acknowledged as cancelled and is {order.status}")
    elif status == 409 and order.status != Order.Status.FILLED:  # noqa: PLR2004 - HTTP
        verdict.problems.append(f"order {order.pk} was said to be filled and is {order.status}")
