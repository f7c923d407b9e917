"""What the traders do: orders around a price, some of them cancelled, each sent until it is known what became of it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final

from markets.load.client import PASSING, Client, DroppedError, Reply, Target
from markets.load.record import Record
from markets.load.report import Tally
from markets.load.traders import Trader

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 5.0
# A server that asks for more is not waited for.
LONGEST_RETRY_AFTER_SECONDS: Final = 30.0
CANCELLED_SHARE: Final = 0.15
MARKET_ORDER_SHARE: Final = 0.1
# Orders are at most so many steps of 0.01 % away from the middle: about half of them trade.
STEPS: Final = 5
LARGEST_LOTS: Final = 20


class UnusableError(Exception):
    """The API can't be traded on; the message says why."""


@dataclass(frozen=True)
class Plan:
    """How much load there is. It ends after so many orders or seconds, whichever comes first."""

    markets: Sequence[str]
    orders: int | None
    seconds: float | None
    orders_per_second: float | None
    give_up_after_seconds: float
    seed: int


@dataclass(frozen=True)
class Place:
    """A market as the traders see it."""

    code: str
    tick: Decimal
    lot: Decimal
    middle: Decimal


class Budget:
    """Gives out the numbers of orders, at a pace, until there are enough or the time is over."""

    def __init__(self, plan: Plan) -> None:
        """Start the clock."""
        self._plan = plan
        self._started = time.monotonic()
        self._given = 0
        self._lock = threading.Lock()
        self.over = threading.Event()

    def take(self) -> int | None:
        """Return the next order's number when its time has come; None: no more."""
        with self._lock:
            if self.over.is_set() or (self._plan.orders is not None and self._given >= self._plan.orders):
                return None
            self._given += 1
            number = self._given
        due = self._started
        if self._plan.orders_per_second:
            due += (number - 1) / self._plan.orders_per_second
        ends = float("inf") if self._plan.seconds is None else self._started + self._plan.seconds
        if self.over.wait(max(0.0, min(due, ends) - time.monotonic())) or time.monotonic() >= ends:
            return None
        return number


@dataclass
class Seat:
    """One trader at work."""

    trader: Trader
    client: Client
    chance: Random
    waiting: list[int] = field(default_factory=list)  # orders that may be cancelled


class Load:
    """All traders at work, each in a thread with a connection of its own."""

    def __init__(self, target: Target, traders: Sequence[Trader], plan: Plan, record: Record) -> None:
        """Keep what it consists of."""
        self.run_id = f"load-{uuid.uuid4().hex[:12]}"
        self.tally = Tally()
        self._target, self._traders, self._plan, self._record = target, traders, plan, record
        self._budget: Budget | None = None
        self._failed: list[BaseException] = []

    def stop(self) -> None:
        """Begin nothing new; what was begun is brought to its end."""
        if self._budget is not None:
            self._budget.over.set()

    def run(self, every_second: Callable[[Tally], None] = lambda _tally: None) -> None:
        """Trade.

        Raises:
            UnusableError: the API can't be reached or the market isn't open.
        """
        places = self._look_around()
        names = [trader.username for trader in self._traders]
        self._record.write("start", run=self.run_id, traders=names, base_url=self._target.base_url)
        self._budget = budget = Budget(self._plan)
        self.tally.start()
        threads = [
            threading.Thread(target=self._work, args=(number, places, budget), name=trader.username, daemon=True)
            for number, trader in enumerate(self._traders)
        ]
        for thread in threads:
            thread.start()
        shown = time.monotonic()
        for thread in threads:
            while thread.is_alive():
                thread.join(max(0.01, shown + 1 - time.monotonic()))
                if time.monotonic() >= shown + 1:
                    shown = time.monotonic()
                    every_second(self.tally)
        self.tally.end()
        if self._failed:
            raise self._failed[0]
        self._record.write("end", summary=self.tally.summary())

    def _look_around(self) -> list[Place]:
        client = Client(self._target)
        try:
            return [self._look_at(client, code) for code in self._plan.markets]
        except DroppedError as error:
            raise UnusableError(f"{self._target.base_url} can't be reached: {error}") from error
        finally:
            client.close()

    def _look_at(self, client: Client, code: str) -> Place:
        market, book, trades = (
            self._body(client.send("GET", f"/markets/{code}{rest}"))
            for rest in ("", "/book?levels=1", "/trades?limit=1")
        )
        if not market["is_open"]:
            raise UnusableError(f"the market {code} is closed")
        best = [Decimal(levels[0]["price"]) for levels in (book["bids"], book["asks"]) if levels]
        last = [Decimal(item["price"]) for item in trades["items"]]
        tick = Decimal(market["tick_size"])
        # A market without a past gets a price at which a step of 0.01 % is a tick.
        middle = sum(best) / 2 if len(best) == 2 else (last or best or [tick * 10_000])[0]  # noqa: PLR2004 - both sides
        return Place(code, tick, Decimal(market["lot_size"]), Decimal(middle))

    def _body(self, reply: Reply) -> Any:
        if reply.status != 200 or reply.body is None:  # noqa: PLR2004 - HTTP
            detail = reply.body.get("detail", "") if isinstance(reply.body, dict) else "not JSON"
            raise UnusableError(f"{self._target.base_url} answers {reply.status} {detail}".rstrip())
        return reply.body

    def _work(self, number: int, places: Sequence[Place], budget: Budget) -> None:
        seat = Seat(
            self._traders[number],
            Client(self._target, self._traders[number].token),
            Random(f"{self._plan.seed}-{number}"),  # noqa: S311 - repeatable on purpose
        )
        try:
            while (order := budget.take()) is not None:
                self._order(seat, order, order_body(seat.chance, seat.chance.choice(places)))
                if seat.waiting and seat.chance.random() < CANCELLED_SHARE:
                    self._cancel(seat, seat.waiting.pop(seat.chance.randrange(len(seat.waiting))))
        except Exception as error:  # noqa: BLE001 - told to the main thread, which raises it
            self._failed.append(error)
            budget.over.set()
        finally:
            seat.client.close()

    def _order(self, seat: Seat, number: int, body: dict[str, str]) -> None:
        key = f"{self.run_id}-{number}"
        reply, seconds, tries = self._insist(seat, "order", key, "POST", "/orders", body)
        self.tally.add("orders", reply, seconds, tries)
        if reply is not None and reply.status == 201 and reply.body["status"] == "open":  # noqa: PLR2004 - HTTP
            seat.waiting.append(reply.body["id"])

    def _cancel(self, seat: Seat, order_id: int) -> None:
        key = f"{self.run_id}-cancel-{order_id}"
        reply, seconds, tries = self._insist(seat, "cancel", key, "DELETE", f"/orders/{order_id}", None)
        self.tally.add("cancels", reply, seconds, tries)

    def _insist(  # noqa: PLR0913, PLR0917 - private, and what a request consists of
        self, seat: Seat, kind: str, key: str, method: str, path: str, body: dict[str, str] | None
    ) -> tuple[Reply | None, float, int]:
        """Send a request, and again with the same key while nobody knows what became of it.

        Returns:
            The answer, or None after giving up; the seconds that it took in all; how many tries.
        """
        started = time.monotonic()
        tries = 0
        while True:
            tries += 1
            details = {"path": path, "body": body} if tries == 1 else {}
            self._record.write("try", key=key, kind=kind, trader=seat.trader.username, number=tries, **details)
            tried = time.monotonic()
            wait: float | None = None
            try:
                # Cancelling needs no key: it is the same request that does nothing the second time.
                reply = seat.client.send(method, path, body, key if kind == "order" else None)
            except DroppedError as error:
                failure, text = error.kind, str(error)
            else:
                # Whatever the API says is JSON; anything else comes from something before it.
                if reply.status not in PASSING and reply.body is not None:
                    self._record.write(
                        "answered",
                        key=key,
                        kind=kind,
                        trader=seat.trader.username,
                        number=tries,
                        status=reply.status,
                        replayed=reply.headers.get("idempotency-replayed") == "true",
                        seconds=round(reply.seconds, 6),
                        body=reply.body,
                    )
                    return reply, time.monotonic() - started, tries
                failure, text, wait = str(reply.status), "", reply.retry_after_seconds
            self.tally.count_failure(failure, first=tries == 1)
            self._record.write(
                "failed",
                key=key,
                kind=kind,
                number=tries,
                failure=failure,
                text=text,
                seconds=round(time.monotonic() - tried, 6),
            )
            if wait is None:
                wait = min(FIRST_WAIT_SECONDS * 2 ** (tries - 1), LONGEST_WAIT_SECONDS) * seat.chance.uniform(0.5, 1)
            wait = min(wait, LONGEST_RETRY_AFTER_SECONDS)
            if time.monotonic() + wait - started > self._plan.give_up_after_seconds:
                self._record.write("gave up", key=key, kind=kind, trader=seat.trader.username, tries=tries)
                return None, time.monotonic() - started, tries
            # While it waits the other end may go; a new connection meets what is there then.
            seat.client.close()
            with self.tally.waiting():
                time.sleep(wait)


def order_body(chance: Random, place: Place) -> dict[str, str]:
    """Return an order as the API takes it."""
    side = chance.choice(["buy", "sell"])
    body = {
        "market": place.code,
        "side": side,
        "quantity": f"{chance.randint(1, LARGEST_LOTS) * place.lot:f}",
    }
    if chance.random() >= MARKET_ORDER_SHARE:
        step = max(place.tick, place.middle / 10_000)
        ticks = round((place.middle + chance.randint(-STEPS, STEPS) * step) / place.tick)
        body["price"] = f"{max(1, ticks) * place.tick:f}"
    return body
