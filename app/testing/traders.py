"""Sixteen traders at once on one PostgreSQL: `python -m testing.traders 10000` places so many orders and checks them.

They trade on three markets that share their assets, as four processes of four threads: limit and market orders, cancels
(of one order by two at once, too), the same request sent by several at once, deposits and withdrawals beside, and an
account that is frozen and released all the time. Afterwards every trade is replayed by the reference book.

The database is the one that the application's environment names. Without one (no DATABASE_HOST) a server of our own is
started and removed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from testing.processes import APP, environment, manage
from testing.reference import ReferenceBook
from testing.server import Server

if TYPE_CHECKING:
    from accounts.models import User
    from markets.services.orders import OrderRequest

PROCESSES: Final = 4
THREADS: Final = 4
# Where they meet, and in which steps: all three share their assets.
MARKETS: Final = {
    "BTC-USDC": ("100.00", "0.01", "0.0001"),
    "ETH-USDC": ("50.00", "0.01", "0.0001"),
    "ETH-BTC": ("0.50000", "0.00001", "0.001"),
}
FROZEN_NOW_AND_THEN: Final = 0
# One in so many orders is a request that others send, too, with the same key.
SHARED: Final = 10


def trader(number: int) -> User:
    """Return one of the traders; made, with money, by whoever comes first."""
    from testing.books import rich_user  # noqa: PLC0415 - after django.setup()

    return rich_user(f"market-trader{number}")


def any_request(chance: random.Random) -> OrderRequest:
    """Return an order near the middle of some market; one in seven without a price, one in fifty too large."""
    from markets.models import Order  # noqa: PLC0415
    from markets.services.orders import OrderRequest  # noqa: PLC0415

    code = chance.choice(sorted(MARKETS))
    middle, tick, lot = (Decimal(text) for text in MARKETS[code])
    quantity = lot * (10**13 if chance.random() < 1 / 50 else chance.choice([1, 3, 10, 25]))
    price = None if chance.random() < 1 / 7 else middle + tick * chance.randint(-5, 5)
    return OrderRequest(code, chance.choice(list(Order.Side)), quantity, price)


class Trader:
    """One thread: it goes on until so many orders of its own were taken."""

    def __init__(self, number: int, orders: int) -> None:
        """Choose who it is."""
        self.number, self.orders = number, orders
        self.chance = random.Random(number)  # noqa: S311 - repeatable on purpose
        self.counts: Counter[str] = Counter()
        # id, key, owner, status and filled quantity when it was acknowledged
        self.acknowledged: list[tuple[int, str, int, str, str]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Trade."""
        from django.db import connection  # noqa: PLC0415

        try:
            while self.counts["order"] < self.orders:
                self.step()
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.error = error
        finally:
            connection.close()

    def step(self) -> None:
        """Do one thing, and note how it was answered."""
        from django.db import OperationalError  # noqa: PLC0415

        from ledger.errors import LedgerError  # noqa: PLC0415

        what = self.chance.choices([self.order, self.shared, self.cancel, self.move_money], [60, 6, 14, 3])[0]
        try:
            what()
            self.counts[what.__name__] += 1
        except LedgerError as error:
            self.counts[f"refused: {error.code}"] += 1
        except OperationalError as error:
            self.counts[f"failed: {type(error.__cause__).__name__}"] += 1

    def order(self) -> None:
        """Place an order."""
        # Mostly for itself, sometimes for somebody for whom another one trades, too.
        number = self.number if self.chance.random() < 3 / 4 else self.chance.randrange(PROCESSES * THREADS)
        self.place(number, any_request(self.chance), uuid.uuid4().hex)

    def shared(self) -> None:
        """Send a request that others send as well: whoever comes first places the order."""
        number = self.chance.randrange(max(1, self.orders * PROCESSES * THREADS // SHARED))
        chance = random.Random(number)  # noqa: S311 - the same for all
        self.place(number % (PROCESSES * THREADS), any_request(chance), f"shared-{number}")

    def place(self, number: int, request: OrderRequest, key: str) -> None:
        """Place an order for somebody."""
        from markets.services.orders import place_order  # noqa: PLC0415

        order = place_order(trader(number), request, key)
        self.acknowledged.append((order.pk, key, order.user_id, order.status, str(order.filled)))

    def cancel(self) -> None:
        """Cancel one of the orders that wait, maybe at the same moment as somebody else."""
        from markets.models import Order  # noqa: PLC0415
        from markets.services.orders import cancel_order  # noqa: PLC0415

        waiting = Order.objects.filter(status="open").select_related("user").order_by("-pk")
        if found := list(waiting[:20]):
            order = self.chance.choice(found)
            cancel_order(order.user, order.pk)

    def move_money(self) -> None:
        """Deposit or withdraw a little, and let the rail answer."""
        from ledger.models import Asset  # noqa: PLC0415
        from ledger.services import transfers  # noqa: PLC0415

        user, key = trader(self.number), uuid.uuid4().hex
        asset = Asset.objects.get(pk=self.chance.choice(["BTC", "ETH", "USDC"]))
        if self.chance.random() < 1 / 2:
            transfer = transfers.request_deposit(user, asset, Decimal(1), key)
        else:
            transfer = transfers.request_withdrawal(user, asset, Decimal(1), "somewhere", key)
        self.chance.choice([transfers.confirm_transfer, transfers.reject_transfer])(transfer.pk)


def freeze_now_and_then(stop: threading.Event) -> None:
    """Freeze one of the traders and let him go on, again and again."""
    from django.db import connection  # noqa: PLC0415

    from accounts.freezing import freeze, unfreeze  # noqa: PLC0415

    user = trader(FROZEN_NOW_AND_THEN)
    while not stop.wait(0.2):
        freeze(user.pk, "now and then")
        stop.wait(0.05)
        unfreeze(user.pk)
    connection.close()


def work(process: int, orders: int) -> dict[str, Any]:
    """Be one of the processes."""
    traders = [Trader(process * THREADS + number, orders) for number in range(THREADS)]
    stop = threading.Event()
    freezer = threading.Thread(target=freeze_now_and_then, args=[stop])
    threads = [threading.Thread(target=one.run) for one in traders]
    if process == 0:
        freezer.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    if process == 0:
        freezer.join()
    for one in traders:
        if one.error is not None:
            raise one.error
    counts = sum((one.counts for one in traders), Counter[str]())
    return {"counts": counts, "acknowledged": [row for one in traders for row in one.acknowledged]}


def replay() -> list[str]:
    """Let the reference book do it all again, in the order in which the exchange did it; return what differs."""
    from markets.models import Trade  # noqa: PLC0415

    trades: dict[int, list[tuple[int, Decimal, Decimal]]] = defaultdict(list)
    rows = Trade.objects.order_by("pk").values_list("taker_order_id", "maker_order_id", "price", "quantity")
    for taker, maker, price, quantity in rows:
        trades[taker].append((maker, price, quantity))
    problems = [problem for code in MARKETS for problem in replay_market(code, trades)]
    return problems + [f"order {taker}: trades of an order that isn't there" for taker in trades]


def replay_market(code: str, trades: dict[int, list[tuple[int, Decimal, Decimal]]]) -> Iterator[str]:
    """Replay one market, and take the trades that are as they should be out of the given ones."""
    from markets.models import Order  # noqa: PLC0415

    reference = ReferenceBook()
    orders = list(Order.objects.filter(market=code).order_by("pk"))
    placed = [(order.created_at, False, order) for order in orders]
    if any(later[0] <= earlier[0] for earlier, later in pairwise(placed)):
        yield f"{code}: the ids of orders don't grow with their time"
    cancelled = [(o.closed_at, True, o) for o in orders if o.closed_at and o.reason == Order.Reason.REQUESTED]
    for _, cancel, order in sorted(placed + cancelled, key=lambda event: event[0]):
        if cancel:
            if (left := reference.cancel(order.pk).left) != order.remaining:
                yield f"order {order.pk}: cancelled with {order.remaining} left, not {left}"
            continue
        plan = reference.plan(str(order.user_id), order.side, order.quantity, order.price, 500)
        expected = [(maker.name, price, taken) for maker, price, taken in plan.fills]
        if (real := trades.pop(order.pk, [])) != expected:
            yield f"order {order.pk}: trades are {real}, not {expected}"
        if plan.status == "cancelled" and (order.status, order.reason) != (plan.status, plan.reason):
            yield f"order {order.pk}: {order.status} {order.reason}, not {plan.status} {plan.reason}"
        reference.do(order.pk, str(order.user_id), order.side, order.price, plan)
    if {o.name: o.left for o in reference.waiting} != {o.pk: o.remaining for o in orders if o.status == "open"}:
        yield f"{code}: other orders wait than should"
    if reference.crossed:
        yield f"{code}: the book is crossed"


def verify(acknowledged: list[tuple[int, str, int, str, str]]) -> dict[str, Any]:
    """Look for what was lost or done twice; return problems, and how much there was."""
    from django.db import connection  # noqa: PLC0415

    from markets.models import Order, Trade  # noqa: PLC0415

    problems = replay()
    by_key = {(o.user_id, o.idempotency_key): o for o in Order.objects.all()}
    for pk, key, user, status, filled in acknowledged:
        order = by_key.get((user, key))
        if order is None or order.pk != pk:
            problems.append(f"acknowledged order {pk} is {order}")
        elif order.filled < Decimal(filled) or status not in {Order.Status.OPEN, order.status}:
            problems.append(f"order {pk} was {status} with {filled} filled, and is {order.status} with {order.filled}")
    known = {(user, key) for _, key, user, _, _ in acknowledged}
    problems += [f"nobody was told of order {o.pk}" for place, o in by_key.items() if place not in known]
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        deadlocks = cursor.fetchone()[0]
    found = {"orders": len(by_key), "trades": Trade.objects.count(), "deadlocks": deadlocks}
    return found | {"problems": problems[:20], "problem_count": len(problems)}


def run(variables: Mapping[str, str], orders: int) -> dict[str, Any]:
    """Let so many orders be placed on a migrated database, and return what came of it."""
    variables = dict(variables) | {"LOG_LEVEL": "ERROR"}
    each = -(-orders // (PROCESSES * THREADS))
    call("prepare", variables)
    begun = time.monotonic()
    started = [start(variables, "work", str(process), str(each)) for process in range(PROCESSES)]
    try:
        results = [finish(process) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    seconds = time.monotonic() - begun
    counts = sum((Counter(result["counts"]) for result in results), Counter[str]())
    acknowledged = [row for result in results for row in result["acknowledged"]]
    verified = call("verify", variables, text=json.dumps(acknowledged))
    checked = manage(variables, "check_books", "--json", timeout_seconds=600)
    violations = json.loads(checked.stdout)["violations"]
    verified.pop("logged")
    return {
        "traders": PROCESSES * THREADS,
        "processes": PROCESSES,
        **verified,
        "acknowledged": len(acknowledged),
        "errors_logged": [line for result in results for line in result["logged"]][:20],
        "answers": dict(sorted(counts.items())),
        "violations": violations,
        "seconds": round(seconds, 1),
        "orders_per_second": round(verified["orders"] / seconds, 1),
    }


def send_at_once(variables: Mapping[str, str], *, same_market: bool) -> Counter[str]:
    """Let all threads send orders under one key at the same moment; return how often they got which answer."""
    variables = dict(variables) | {"LOG_LEVEL": "ERROR"}
    call("prepare", variables)
    started = [start(variables, "same" if same_market else "other", str(process)) for process in range(PROCESSES)]
    at = str(time.time() + 5)
    return sum((Counter(finish(process, at)["answers"]) for process in started), Counter[str]())


def send_under_one_key(process: int, *, same_market: bool) -> dict[str, Any]:
    """Be one of the processes: wait for the moment that standard input names, and send."""
    from django.db import connection  # noqa: PLC0415

    from ledger.errors import LedgerError  # noqa: PLC0415
    from markets.models import Order  # noqa: PLC0415
    from markets.services.orders import OrderRequest, place_order  # noqa: PLC0415

    answers: Counter[str] = Counter()

    def send(number: int, at: float) -> None:
        code = "BTC-USDC" if same_market else sorted(MARKETS)[number % len(MARKETS)]
        user = trader(0)
        time.sleep(max(0.0, at - time.time()))
        try:
            request = OrderRequest(code, Order.Side.SELL, Decimal(1), Decimal(1000))
            answers[str(place_order(user, request, f"one-key-{same_market}").pk)] += 1
        except LedgerError as error:
            answers[error.code] += 1
        connection.close()

    at = float(sys.stdin.read())
    threads = [threading.Thread(target=send, args=[process * THREADS + number, at]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"answers": answers}


def start(variables: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a part of the work in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "testing.traders", *arguments],
        cwd=APP,
        env=dict(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], text: str = "") -> dict[str, Any]:
    """Wait for a part and return what it printed."""
    out, err = process.communicate(text, timeout=1_800)
    if process.returncode:
        raise RuntimeError(err)
    *logged, result = out.splitlines()
    found: dict[str, Any] = json.loads(result)
    return found | {"logged": logged}


def call(what: str, variables: Mapping[str, str], text: str = "") -> dict[str, Any]:
    """Do a part of the work in a process of its own, and return what it printed."""
    return finish(start(variables, what), text)


def part(arguments: list[str]) -> dict[str, Any]:
    """Do a part of the work in this process."""
    import django  # noqa: PLC0415

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    django.setup()
    if arguments[0] == "prepare":
        return {"traders": [trader(number).pk for number in range(PROCESSES * THREADS)]}
    if arguments[0] == "verify":
        return verify([tuple(row) for row in json.load(sys.stdin)])
    if arguments[0] in {"same", "other"}:
        return send_under_one_key(int(arguments[1]), same_market=arguments[0] == "same")
    return work(int(arguments[1]), int(arguments[2]))


def main() -> None:
    """Do a part, or all of it on a server of our own."""
    if not sys.argv[1].isdecimal():
        print(json.dumps(part(sys.argv[1:])))  # noqa: T201 - read by the process that started this one
        return
    server = None if "DATABASE_HOST" in os.environ else Server()
    try:
        variables = dict(os.environ) if server is None else environment(server.environment())
        done = manage(variables, "migrate")
        if done.returncode:
            sys.exit(done.stderr)
        result = run(variables, int(sys.argv[1]))
    finally:
        if server is not None:
            server.remove()
    print(json.dumps(result, indent=2))  # noqa: T201 - the result
    if result["problem_count"] or result["violations"] or result["deadlocks"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
