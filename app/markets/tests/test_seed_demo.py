"""The demo's past: real orders and trades, repeatable, completed after an interruption, and never among customers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import User
from ledger.checks import violations
from ledger.models import Movement
from markets import demo
from markets.models import Candle, Market, Order, Trade
from markets.queries import book, candles
from markets.services import orders
from markets.services.orders import OrderRequest, place_order

pytestmark = pytest.mark.django_db
END = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trade every third hour only."""
    monkeypatch.setattr("markets.demo.SPACING", ((timedelta.max, timedelta(hours=3)),))


def seed(*arguments: str) -> str:
    """Run the command with a short past and return what it printed."""
    out = StringIO()
    call_command("seed_demo", "--days", "2", *arguments, stdout=out)
    return out.getvalue()


def assert_books_balance() -> None:
    """Check what is deferred to the commit, and every invariant."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    assert violations() == []


def prices() -> list[tuple[object, ...]]:
    """Return what was traded."""
    return list(Trade.objects.order_by("pk").values_list("market", "price", "quantity", "taker_side"))


def test_a_past_and_a_book() -> None:
    said = seed()
    assert_books_balance()
    for code in ("BTC-USDC", "ETH-USDC"):
        market = Market.objects.get(pk=code)
        assert Trade.objects.filter(market=market).count() >= 16
        first, last = (Trade.objects.filter(market=market).order_by(order).first() for order in ("pk", "-pk"))
        assert first is not None
        assert last is not None
        now = timezone.now()
        assert timedelta(days=2) <= now - first.created_at < timedelta(days=2, minutes=2)
        assert timedelta(hours=3) <= now - last.created_at < timedelta(hours=3, minutes=2)
        seen = book(market, levels=50)
        assert (len(seen.bids), len(seen.asks)) == (15, 15)
        assert seen.bids[0].price < last.price < seen.asks[0].price
        assert len(candles(market, 3600)) == 16
        assert f"{code}: " in said
    assert sum(Candle.objects.values_list("trades", flat=True)) == Trade.objects.count()
    assert User.objects.count() == 4


def test_a_second_run_adds_nothing() -> None:
    seed("--market", "BTC-USDC")
    before = (Order.objects.count(), Trade.objects.count(), Movement.objects.count(), User.objects.count())
    said = seed("--market", "BTC-USDC")
    assert "BTC-USDC: has this past already; nothing added" in said
    assert "password" not in said
    assert "has another past" in seed("--market", "BTC-USDC", "--seed", "2")
    assert "has another past" in seed("--market", "BTC-USDC", "--days", "1")
    assert (Order.objects.count(), Trade.objects.count(), Movement.objects.count(), User.objects.count()) == before


def test_an_interrupted_run_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = orders.place_in_transaction
    left = iter(range(20))

    def interrupted(*args: object, **options: object) -> object:
        next(left)
        return placed(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr("markets.demo.place_in_transaction", interrupted)
        with pytest.raises(StopIteration):
            seed("--market", "BTC-USDC")
    begun = Order.objects.count()
    assert 10 < begun <= 20
    times = list(Order.objects.order_by("pk").values_list("created_at", flat=True))
    seed("--market", "BTC-USDC")
    assert_books_balance()
    market = Market.objects.select_related("base", "quote").get(pk="BTC-USDC")
    steps = list(demo.past(market, 1, END, 2))
    assert Trade.objects.count() == sum(len(step.waiting) for step in steps)
    found = list(Order.objects.order_by("pk").values_list("created_at", flat=True))
    assert found[:begun] == times
    assert found == sorted(found)


def test_the_nearer_the_denser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = demo.moments(END, 30)
    assert (found[0], found[-1]) == (END - timedelta(days=30), END - timedelta(minutes=2))
    gaps = [after - before for before, after in pairwise(found)]
    assert gaps == sorted(gaps, reverse=True)
    assert 300 < len(found) < 400


def test_the_same_seed_is_the_same_past() -> None:
    market = Market.objects.select_related("base", "quote").get(pk="ETH-USDC")
    first, again, other = (list(demo.past(market, number, END, 5)) for number in (1, 1, 2))
    assert first == again
    assert first != other
    assert [step.at for step in first] == sorted(step.at for step in first)
    assert first[-1].at < END


@pytest.mark.parametrize("code", sorted(demo.STARTS))
def test_every_order_fits_its_market(code: str) -> None:
    market = Market.objects.select_related("base", "quote").get(pk=code)
    for step in demo.past(market, 3, END, 90):
        for price, quantity in step.waiting:
            assert price > 0
            assert quantity > 0
            assert price % market.tick_size == quantity % market.lot_size == 0


def test_the_password_is_made_and_said_once_or_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = seed("--market", "ETH-USDC", "--traders", "2")
    password = said.split(" with the password ")[1].split()[0]
    assert authenticate(username="demo1", password=password) is not None
    file = tmp_path / "password"
    file.write_text("correct-horse-9\n")
    assert "password" not in seed("--market", "ETH-BTC", "--traders", "3", "--password-file", str(file))
    assert authenticate(username="demo3", password="correct-horse-9") is not None
    assert authenticate(username="demo1", password=password) is not None, "it stays"
    monkeypatch.setenv("DEMO_PASSWORD", "another-horse-9")
    seed("--market", "ETH-BTC", "--traders", "5")
    assert authenticate(username="demo5", password="another-horse-9") is not None


def test_keeps_away_from_customers(make_user: Callable[[str], User]) -> None:
    make_user("alice")
    name = connection.settings_dict["NAME"]
    with pytest.raises(CommandError, match=f"has 1 customers who aren't made up.*say --into {name}"):
        seed()
    with pytest.raises(CommandError, match="--into names 'production'"):
        seed("--into", "production")
    assert not Order.objects.exists()
    assert "orders added" in seed("--into", name, "--market", "BTC-USDC")


def test_adds_no_past_to_a_market_that_has_one() -> None:
    seed("--market", "ETH-USDC")
    demo1 = User.objects.get(username="demo1")
    request = OrderRequest("BTC-USDC", Order.Side.SELL, Market.objects.get(pk="BTC-USDC").lot_size, Decimal(1))
    place_order(demo1, request, "own")
    assert "BTC-USDC: has another past already; nothing added" in seed("--market", "BTC-USDC")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--days", "0"], "'0' is not a whole number from 1 to 90"),
        (["--days", "91"], "'91' is not a whole number from 1 to 90"),
        (["--traders", "1"], "'1' is not a whole number from 2 to 20"),
        (["--seed", "-1"], "'-1' is not a whole number"),
        (["--market", "DOGE-EUR"], "invalid choice: 'DOGE-EUR'"),
        (["--password-file", "/nowhere"], "can't be read: No such file or directory"),
    ],
)
def test_bad_input(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("seed_demo", *arguments)
    assert not User.objects.exists()


def test_bad_password_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "short")
    with pytest.raises(CommandError, match="the password is refused") as caught:
        seed()
    assert "'short'" not in str(caught.value)


def test_closed_market_is_named() -> None:
    Market.objects.filter(pk="BTC-USDC").update(is_open=False)
    with pytest.raises(CommandError, match="no open market: BTC-USDC"):
        seed()


def test_a_customers_name_is_not_taken(make_user: Callable[[str], User]) -> None:
    make_user("demo2")
    with pytest.raises(CommandError, match="the name demo2 belongs to a customer"):
        seed("--into", connection.settings_dict["NAME"])
