"""Orders from end to end: who gets what, at which price, and what is held."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection

from accounts.freezing import freeze
from accounts.models import User
from ledger.checks import violations
from ledger.errors import AccountFrozen, IdempotencyConflict, InsufficientFunds, LedgerError
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.errors import InvalidOrder, MarketClosed, OrderClosed, UnknownMarket, UnknownOrder
from markets.models import Market, Order, Trade
from markets.queries import Level, book
from markets.services.orders import OrderRequest, cancel_order, place_order
from wallet.queries import balances

BUY, SELL = Order.Side.BUY, Order.Side.SELL
MARKET = "BTC-USDC"


@pytest.fixture
def traders(make_user: Callable[[str], User]) -> dict[str, User]:
    """Return three customers with 10 BTC and 1,000,000 USDC each."""
    users = {name: make_user(name) for name in ("alice", "bob", "carol")}
    for user in users.values():
        for code, amount in (("BTC", 10), ("USDC", 1_000_000)):
            confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), Decimal(amount), f"d-{code}").pk)
    return users


def place(user: User, side: Order.Side, quantity: str, price: str | None = None, key: str | None = None) -> Order:
    """Place an order on the market."""
    request = OrderRequest(MARKET, side, Decimal(quantity), None if price is None else Decimal(price))
    return place_order(user, request, key or uuid.uuid4().hex)


def owned(user: User, code: str) -> tuple[object, object]:
    """Return what is available and what is held."""
    return next((b.available, b.held) for b in balances(user) if b.asset.pk == code)


def check_books() -> None:
    """Check what is deferred to the commit, and every invariant."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    assert violations() == []


def test_waits_then_trades_at_the_makers_price(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    ask = place(alice, SELL, "1", "50000")
    assert ask.status == "open"
    assert owned(alice, "BTC") == (9, 1)
    bid = place(bob, BUY, "0.4", "51000")
    ask.refresh_from_db()
    assert (bid.status, ask.status, ask.filled) == ("filled", "open", Decimal("0.4"))
    # The taker's fee is 0.2 % of 0.4 BTC, the maker's 0.1 % of 20,000 USDC; the maker's price counts.
    assert owned(bob, "BTC") == (Decimal("10.3992"), 0)
    assert owned(bob, "USDC") == (Decimal(980_000), 0)
    assert owned(alice, "USDC") == (Decimal(1_019_980), 0)
    assert owned(alice, "BTC") == (9, Decimal("0.6"))
    trade = Trade.objects.get()
    assert (trade.price, trade.quantity, trade.taker_side) == (Decimal(50_000), Decimal("0.4"), "buy")
    check_books()


def test_rest_of_a_limit_order_waits_and_is_given_back(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    place(alice, SELL, "1", "50000")
    bid = place(bob, BUY, "3", "50000")
    assert (bid.status, bid.filled) == ("open", Decimal(1))
    assert owned(bob, "USDC") == (850_000, 100_000)
    assert book(Market.objects.get(pk=MARKET)).bids == [Level(Decimal(50_000), Decimal(2), 1)]
    assert cancel_order(bob, bid.pk).reason == "requested"
    assert cancel_order(bob, bid.pk).status == "cancelled"
    assert owned(bob, "USDC") == (950_000, 0)
    check_books()


@pytest.mark.parametrize("first", ["buyer", "seller"])
def test_first_of_an_asset_may_come_from_a_trade(make_user: Callable[[str], User], first: str) -> None:
    buyer, seller = make_user("buyer"), make_user("seller")
    for user, code, amount in ((buyer, "USDC", 50_000), (seller, "BTC", 1)):
        confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), Decimal(amount), "start").pk)
    if first == "buyer":
        place(buyer, BUY, "1", "50000")
    place(seller, SELL, "1", "50000")
    if first == "seller":
        place(buyer, BUY, "1", "50000")
    assert owned(buyer, "BTC") == (Decimal("0.999" if first == "buyer" else "0.998"), 0)
    assert owned(seller, "USDC") == (Decimal(49_900 if first == "buyer" else 49_950), 0)
    check_books()


def test_price_then_time(traders: dict[str, User]) -> None:
    alice, bob, carol = traders.values()
    late_best = [place(alice, SELL, "1", "50010"), place(bob, SELL, "1", "50000"), place(alice, SELL, "1", "50000")]
    taker = place(carol, BUY, "2.5")
    met = Trade.objects.filter(taker_order=taker).order_by("pk").values_list("maker_order", "quantity")
    assert list(met) == [(late_best[1].pk, 1), (late_best[2].pk, 1), (late_best[0].pk, Decimal("0.5"))]
    check_books()


def test_market_order_takes_what_there_is(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    place(alice, SELL, "1", "50000")
    taker = place(bob, BUY, "2")
    assert (taker.status, taker.reason, taker.filled, taker.hold) == ("cancelled", "no_liquidity", Decimal(1), None)
    assert place(bob, SELL, "1").reason == "no_liquidity"
    check_books()


def test_never_meets_its_own(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    place(bob, SELL, "1", "49000")
    own = place(alice, SELL, "1", "50000")
    taker = place(alice, BUY, "3", "50000")
    own.refresh_from_db()
    assert (taker.status, taker.reason, taker.filled, own.status) == ("cancelled", "self_trade", Decimal(1), "open")
    check_books()


def test_needs_only_what_it_pays_and_holds(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    place(alice, SELL, "1", "50000")
    with pytest.raises(InsufficientFunds):
        place(bob, BUY, "20", "50001")  # 50,000 to pay and 950,019 to hold
    assert owned(bob, "USDC") == (1_000_000, 0)
    assert place(bob, BUY, "20", "50000").filled == 1
    check_books()


def test_many_levels_are_read_in_portions(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    for number in range(100):
        place(alice, SELL, "0.01", str(50_000 - number % 10))
    taker = place(bob, BUY, "0.995", "50000")
    assert (taker.status, taker.taken.count()) == ("filled", 100)
    prices = [trade.price for trade in taker.taken.order_by("pk")]
    assert prices == sorted(prices)
    check_books()


REFUSED: list[tuple[OrderRequest, type[LedgerError], str]] = [
    (OrderRequest(MARKET, BUY, Decimal(0), Decimal(1)), InvalidOrder, "more than zero"),
    (OrderRequest(MARKET, BUY, Decimal(-1), Decimal(1)), InvalidOrder, "more than zero"),
    (OrderRequest(MARKET, BUY, Decimal("NaN"), Decimal(1)), InvalidOrder, "more than zero"),
    (OrderRequest(MARKET, BUY, Decimal("Infinity"), Decimal(1)), InvalidOrder, "more than zero"),
    (OrderRequest(MARKET, BUY, Decimal("0.00001"), Decimal(1)), InvalidOrder, "multiple of 0.0001 BTC"),
    (OrderRequest(MARKET, BUY, Decimal(10) ** 13, Decimal(1)), InvalidOrder, "at most 1,000,000,000,000"),
    (OrderRequest(MARKET, BUY, Decimal(1), Decimal(0)), InvalidOrder, "more than zero"),
    (OrderRequest(MARKET, BUY, Decimal(1), Decimal("NaN")), InvalidOrder, "more than zero"),
    (OrderRequest(MARKET, BUY, Decimal(1), Decimal("0.001")), InvalidOrder, "multiple of 0.01 USDC"),
    (OrderRequest(MARKET, BUY, Decimal(10) ** 9, Decimal(10) ** 9), InvalidOrder, "Price times quantity"),
    (OrderRequest("DOGE-EUR", BUY, Decimal(1), Decimal(1)), UnknownMarket, "no such market"),
    (OrderRequest(MARKET, SELL, Decimal("10.0001"), Decimal(1)), InsufficientFunds, "more than is available"),
]


@pytest.mark.parametrize(("request_", "error", "message"), REFUSED)
def test_refused(traders: dict[str, User], request_: OrderRequest, error: type[LedgerError], message: str) -> None:
    with pytest.raises(error, match=message):
        place_order(traders["alice"], request_, "key")
    assert not Order.objects.exists()
    check_books()


def test_closed_market(traders: dict[str, User]) -> None:
    waiting = place(traders["alice"], SELL, "1", "50000")
    Market.objects.filter(pk=MARKET).update(is_open=False)
    with pytest.raises(MarketClosed):
        place(traders["bob"], BUY, "1")
    assert cancel_order(traders["alice"], waiting.pk).status == "cancelled"


def test_frozen_account(traders: dict[str, User]) -> None:
    waiting = place(traders["alice"], SELL, "1", "50000")
    freeze(traders["alice"].pk, "asked for by the customer")
    with pytest.raises(AccountFrozen):
        place(traders["alice"], BUY, "1", "1")
    assert cancel_order(traders["alice"], waiting.pk).status == "cancelled"


def test_the_same_request_finds_the_first(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    first = place(alice, SELL, "1", "50000", key="one")
    assert place(alice, SELL, "1", "50000", key="one") == first
    assert place(bob, SELL, "1", "50000", key="one") != first
    for side, quantity, price in ((BUY, "1", "50000"), (SELL, "2", "50000"), (SELL, "1", "50001"), (SELL, "1", None)):
        with pytest.raises(IdempotencyConflict):
            place(alice, side, quantity, price, key="one")


def test_cancelling_what_is_not_there(traders: dict[str, User]) -> None:
    alice, bob = traders["alice"], traders["bob"]
    waiting = place(alice, SELL, "1", "50000")
    for user, number in ((bob, waiting.pk), (alice, waiting.pk + 1000)):
        with pytest.raises(UnknownOrder):
            cancel_order(user, number)
    place(bob, BUY, "1")
    with pytest.raises(OrderClosed):
        cancel_order(alice, waiting.pk)


def test_numbers_as_large_and_as_fine_as_they_get(make_user: Callable[[str], User]) -> None:
    alice, bob = make_user("alice"), make_user("bob")
    most, quantity = Decimal("999999999999.999999999999999999"), Decimal("999999999999.999")
    for user, code, amount in ((alice, "ETH", most), (bob, "BTC", Decimal(10) ** 12)):
        confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), amount, "much").pk)
    place_order(alice, OrderRequest("ETH-BTC", SELL, quantity, Decimal("0.09001")), "large")
    place_order(bob, OrderRequest("ETH-BTC", BUY, quantity - Decimal("0.001"), None), "large")
    place_order(bob, OrderRequest("ETH-BTC", BUY, Decimal("0.001"), None), "small")
    # 0.2 % of the ETH and 0.1 % of the BTC stay with the house, each trade's cut off at the smallest unit.
    assert owned(bob, "ETH") == (Decimal("997999999999.999002"), 0)
    assert owned(alice, "ETH") == (most - quantity, 0)
    value = (quantity * Decimal("0.09001")).normalize()
    assert owned(bob, "BTC") == (Decimal(10) ** 12 - value, 0)
    assert owned(alice, "BTC") == (Decimal("89919990000.00000000") - Decimal("0.00008991"), 0)
    check_books()
