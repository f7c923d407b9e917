"""Random sequences of operations on two markets that share assets, compared with plain lists and Decimals."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any
from unittest import mock

import hypothesis.strategies as st
from django.db import connection, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.freezing import freeze, unfreeze
from accounts.models import User
from ledger.checks import violations
from ledger.errors import AccountFrozen, IdempotencyConflict, InsufficientFunds
from ledger.models import Asset, Posting
from ledger.services.transfers import confirm_transfer, reject_transfer, request_deposit, request_withdrawal
from markets.errors import OrderClosed, UnknownOrder
from markets.matching import match
from markets.models import Market, Order, Trade
from markets.queries import Level, book
from markets.services.orders import OrderRequest, cancel_order, place_order
from testing.reference import ReferenceBook
from wallet.queries import balances

NAMES = ("alice", "bob", "carol")
# Few prices and quantities, so that orders meet; odd ones, so that fees are rounded.
PRICES = {"BTC-USDC": ("100.01", "100.02", "100.03"), "ETH-BTC": ("0.05001", "0.05002", "0.05003")}
QUANTITIES = {"BTC-USDC": ("0.0001", "0.5", "1", "2.0003"), "ETH-BTC": ("0.001", "1", "3.007", "10")}
# Nobody has a bit of everything: accounts are opened by what trades bring, too.
BEGIN_WITH = [
    ("alice", "BTC", 2),
    ("alice", "ETH", 20),
    ("bob", "BTC", 2),
    ("bob", "USDC", 200),
    ("carol", "ETH", 20),
    ("carol", "USDC", 200),
]
UNITS = {"BTC": Decimal("0.00000001"), "ETH": Decimal("0.000000000000000001"), "USDC": Decimal("0.000001")}
MAKER_FEE, TAKER_FEE = Decimal("0.001"), Decimal("0.002")
# Fewer than the exchange's, so that it is reached.
MOST_FILLS = 3

names = st.sampled_from(NAMES)
orders = st.sampled_from(sorted(PRICES)).flatmap(
    lambda code: st.tuples(
        st.just(code),
        st.sampled_from(("buy", "sell")),
        st.sampled_from(QUANTITIES[code]),
        # One in four without a price.
        st.sampled_from((*PRICES[code], None)),
    )
)


@dataclass
class Placed:
    """An order as it should be."""

    owner: str
    request: OrderRequest
    key: str
    status: str
    reason: str
    filled: Decimal


@dataclass
class Model:
    """What everybody should own, and what should have happened."""

    available: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    held: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    fees: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    books: dict[str, ReferenceBook] = field(default_factory=lambda: {code: ReferenceBook() for code in PRICES})
    orders: dict[int, Placed] = field(default_factory=dict)
    # market, taker, maker, price, quantity, taker's and maker's fee, in the order in which they happened
    trades: list[tuple[str, int, int, Decimal, Decimal, Decimal, Decimal]] = field(default_factory=list)
    withdrawals: dict[Any, tuple[str, str, Decimal]] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)


def floor(amount: Decimal, asset: str) -> Decimal:
    """Cut off what is finer than the asset."""
    return (amount / UNITS[asset]).to_integral_value(ROUND_FLOOR) * UNITS[asset]


class Exchange(RuleBasedStateMachine):
    """Deposits, withdrawals, orders, cancels and freezes, by several customers, in any order."""

    @initialize()
    def start(self) -> None:
        """Begin with some money, in a transaction that is rolled back after each example."""
        self.transaction = transaction.atomic()
        # As Django's own tests mark theirs: what must be a transaction of its own may be a part of this one.
        self.transaction._from_testcase = True  # type: ignore[attr-defined]  # noqa: SLF001
        self.transaction.__enter__()
        self.limit = mock.patch("markets.services.orders.match", functools.partial(match, max_fills=MOST_FILLS))
        self.limit.start()
        self.users = {name: User.objects.create(username=name) for name in NAMES}
        self.assets = {code: Asset.objects.get(pk=code) for code in UNITS}
        self.model = Model()
        self.requests = 0
        for name, code, amount in BEGIN_WITH:
            self.deposit(name, code, amount)

    def _key(self) -> str:
        self.requests += 1
        return f"request-{self.requests}"

    @rule(name=names, code=st.sampled_from(sorted(UNITS)), amount=st.integers(1, 5))
    def deposit(self, name: str, code: str, amount: int) -> None:
        """Announce a deposit, and let the rail confirm it."""
        confirm_transfer(request_deposit(self.users[name], self.assets[code], Decimal(amount), self._key()).pk)
        self.model.available[name, code] += amount

    @rule(name=names, code=st.sampled_from(sorted(UNITS)), part=st.sampled_from(("all", "1", "too much")))
    def withdraw(self, name: str, code: str, part: str) -> None:
        """Ask for a withdrawal."""
        available = self.model.available[name, code]
        amount = {"all": available or UNITS[code], "1": Decimal(1), "too much": available + UNITS[code]}[part]
        try:
            transfer = request_withdrawal(self.users[name], self.assets[code], amount, "IBAN", self._key())
        except AccountFrozen:
            assert name in self.model.frozen
            return
        except InsufficientFunds:
            assert amount > available
            return
        assert name not in self.model.frozen
        assert amount <= available
        self.model.available[name, code] -= amount
        self.model.held[name, code] += amount
        self.model.withdrawals[transfer.pk] = (name, code, amount)

    @rule(choice=st.integers(0, 1000), confirm=st.booleans())
    def decide(self, choice: int, confirm: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Let the rail answer to some withdrawal."""
        if not self.model.withdrawals:
            return
        key = list(self.model.withdrawals)[choice % len(self.model.withdrawals)]
        name, code, amount = self.model.withdrawals.pop(key)
        (confirm_transfer if confirm else reject_transfer)(key)
        self.model.held[name, code] -= amount
        if not confirm:
            self.model.available[name, code] += amount

    @rule(name=names)
    def freeze(self, name: str) -> None:
        """Freeze a customer, or let them go on."""
        if name in self.model.frozen:
            unfreeze(self.users[name].pk)
        else:
            freeze(self.users[name].pk, "looked odd")
        self.model.frozen ^= {name}

    # Most of what happens is orders.
    @rule(name=names, order=orders)
    def order(self, name: str, order: tuple[str, str, str, str | None]) -> None:
        """Place an order."""
        self._place(name, order)

    @rule(name=names, first=orders, second=orders, other=names)
    def orders_of_two(
        self,
        name: str,
        other: str,
        first: tuple[str, str, str, str | None],
        second: tuple[str, str, str, str | None],
    ) -> None:
        """Place two orders."""
        self._place(name, first)
        self._place(other, second)

    def _place(self, name: str, order: tuple[str, str, str, str | None]) -> None:
        code, side, quantity, price = order
        request = OrderRequest(code, Order.Side(side), Decimal(quantity), None if price is None else Decimal(price))
        key = self._key()
        plan = self.model.books[code].plan(name, side, request.quantity, request.price, MOST_FILLS)
        base, quote = code.split("-")
        pays, gets = (quote, base) if side == "buy" else (base, quote)

        def worth(amount: Decimal, at: Decimal) -> Decimal:
            return amount * at if side == "buy" else amount

        cost = sum((worth(taken, at) for _, at, taken in plan.fills), Decimal(0))
        rest = worth(plan.left, request.price) if plan.status == "open" and request.price is not None else Decimal(0)
        try:
            placed = place_order(self.users[name], request, key)
        except AccountFrozen:
            assert name in self.model.frozen
            return
        except InsufficientFunds:
            assert cost + rest > self.model.available[name, pays]
            return
        assert name not in self.model.frozen
        assert cost + rest <= self.model.available[name, pays]
        self.model.available[name, pays] -= cost + rest
        self.model.held[name, pays] += rest
        for maker, at, taken in plan.fills:
            taker_pays, maker_pays = worth(taken, at), taken * at if side == "sell" else taken
            taker_fee, maker_fee = floor(maker_pays * TAKER_FEE, gets), floor(taker_pays * MAKER_FEE, pays)
            self.model.available[name, gets] += maker_pays - taker_fee
            self.model.available[maker.owner, pays] += taker_pays - maker_fee
            self.model.held[maker.owner, gets] -= maker_pays
            self.model.fees[gets] += taker_fee
            self.model.fees[pays] += maker_fee
            self.model.trades.append((code, placed.pk, maker.name, at, taken, taker_fee, maker_fee))
            made = self.model.orders[maker.name]
            made.filled += taken
            made.status = "filled" if made.filled == made.request.quantity else "open"
        self.model.books[code].do(placed.pk, name, side, request.price, plan)
        self.model.orders[placed.pk] = Placed(
            name, request, key, plan.status, plan.reason, request.quantity - plan.left
        )

    @rule(choice=st.integers(0, 1000), somebody=names)
    def cancel(self, choice: int, somebody: str) -> None:
        """Cancel some order, open or not, and try to cancel somebody else's."""
        if not self.model.orders:
            return
        number = list(self.model.orders)[choice % len(self.model.orders)]
        placed = self.model.orders[number]
        if somebody != placed.owner:
            self._refused(UnknownOrder, lambda: cancel_order(self.users[somebody], number))
            return
        if placed.status == "filled":
            self._refused(OrderClosed, lambda: cancel_order(self.users[somebody], number))
            return
        cancelled = cancel_order(self.users[somebody], number)
        if placed.status == "open":
            waiting = self.model.books[placed.request.market].cancel(number)
            base, quote = placed.request.market.split("-")
            asset, held = (quote, waiting.left * waiting.price) if waiting.side == "buy" else (base, waiting.left)
            self.model.held[somebody, asset] -= held
            self.model.available[somebody, asset] += held
            placed.status, placed.reason = "cancelled", "requested"
        assert (cancelled.status, cancelled.reason) == (placed.status, placed.reason)

    @rule(choice=st.integers(0, 1000), other=orders)
    def repeat(self, choice: int, other: tuple[str, str, str, str | None]) -> None:
        """Send a request again, and another one with its key."""
        if not self.model.orders:
            return
        number = list(self.model.orders)[choice % len(self.model.orders)]
        placed = self.model.orders[number]
        user = self.users[placed.owner]
        assert place_order(user, placed.request, placed.key).pk == number
        code, side, quantity, price = other
        request = OrderRequest(code, Order.Side(side), Decimal(quantity), None if price is None else Decimal(price))
        if request != placed.request and placed.owner not in self.model.frozen:
            self._refused((IdempotencyConflict, InsufficientFunds), lambda: place_order(user, request, placed.key))

    @staticmethod
    def _refused(errors: type[Exception] | tuple[type[Exception], ...], action: Callable[[], object]) -> None:
        try:
            action()
        except errors:
            return
        raise AssertionError(f"not refused with {errors}")

    def teardown(self) -> None:
        """Roll back."""
        if hasattr(self, "transaction"):
            self.limit.stop()
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    @invariant()
    def money_agrees_with_model(self) -> None:
        """Compare what everybody owns."""
        if not hasattr(self, "model"):
            return
        for name, user in self.users.items():
            for balance in balances(user):
                place = (name, balance.asset.pk)
                assert balance.available == self.model.available[place]
                assert balance.held == self.model.held[place]
        fees = Posting.objects.filter(account__kind="fees").values_list("asset").annotate(total=Sum("amount"))
        assert dict(fees.order_by("asset")) == {code: total for code, total in self.model.fees.items() if total}
        assert min(self.model.available.values()) >= 0

    @invariant()
    def orders_agree_with_model(self) -> None:
        """Compare every order, every trade in its order, and the books."""
        if not hasattr(self, "model"):
            return
        rows = Order.objects.values_list("pk", "user__username", "status", "reason", "filled")
        found = {number: tuple(rest) for number, *rest in rows}
        assert found == {number: (o.owner, o.status, o.reason, o.filled) for number, o in self.model.orders.items()}
        columns = ("market", "taker_order", "maker_order", "price", "quantity", "taker_fee", "maker_fee")
        assert list(Trade.objects.order_by("pk").values_list(*columns)) == self.model.trades
        for code, reference in self.model.books.items():
            assert not reference.crossed
            seen = book(Market.objects.get(pk=code))
            for side, levels in (("buy", seen.bids), ("sell", seen.asks)):
                assert levels == expected_levels(reference, side)

    @invariant()
    def invariants_hold(self) -> None:
        """Check what is deferred to the commit, and what check_books checks."""
        if not hasattr(self, "model"):
            return
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        assert violations() == []


def expected_levels(reference: ReferenceBook, side: str) -> list[Level]:
    """Add up a side's orders by price, best first."""
    prices = sorted({o.price for o in reference.waiting if o.side == side}, reverse=side == "buy")
    found = []
    for price in prices:
        there = [o.left for o in reference.waiting if o.side == side and o.price == price]
        found.append(Level(price, sum(there, Decimal(0)), len(there)))
    return found


def test_exchange_agrees_with_model(db: None) -> None:
    del db
    bounds = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(Exchange, settings=bounds)
