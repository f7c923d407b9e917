from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from accounts.freezing import freeze
from accounts.models import User
from ledger.checks import violations
from ledger.models import Asset, Posting
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.models import Candle, Market, Order, Trade
from markets.services.orders import OrderRequest, cancel_order, place_order

PAGE = "/markets/BTC-USDC/"
ORDER = {"side": "buy", "kind": "limit", "price": "50000", "quantity": "0.4", "idempotency_key": "key-12345"}
HTMX = {"HX-Request": "true"}
PUBLIC = ["/markets/", PAGE, f"{PAGE}live/", f"{PAGE}chart/", f"{PAGE}?interval=1h"]


def fund(user: User) -> User:
    """Give a customer 10 BTC and 1,000,000 USDC."""
    for code, amount in (("BTC", 10), ("USDC", 1_000_000)):
        confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), Decimal(amount), f"start-{code}").pk)
    return user


@pytest.fixture
def alice(user: User) -> User:
    """Return the customer whose browser it is, with money."""
    return fund(user)


@pytest.fixture
def bob(make_user: Callable[[str], User]) -> User:
    """Return another customer with money."""
    return fund(make_user("bob"))


def place(user: User, side: str, quantity: str, price: str | None = None) -> Order:
    """Place an order on the market."""
    request = OrderRequest(
        "BTC-USDC", Order.Side(side), Decimal(quantity), None if price is None else Decimal(price)
    )  # fmt: skip
    return place_order(user, request, uuid.uuid4().hex)


def body(response: Any) -> str:
    """Return the text of a page, white space run together."""
    return re.sub(r"\s+", " ", response.content.decode())


def said(response: Any) -> list[str]:
    """Return what the page after this one will say."""
    return [str(message) for message in get_messages(response.wsgi_request)]


# --- Looking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PUBLIC)
def test_strangers_may_look(client: Client, alice: User, bob: User, path: str) -> None:
    place(alice, "sell", "1", "50000")
    place(bob, "buy", "0.25", "50000")
    response = client.get(path)
    assert response.status_code == 200
    page = response.content.decode()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page), "inline code"
    assert "Place order" not in page
    assert "alice" not in page
    assert "bob" not in page


def test_strangers_are_offered_the_login(client: Client, db: None) -> None:
    del db
    assertContains(client.get(PAGE), "/accounts/login/?next=/markets/BTC-USDC/")


def test_market_list(client: Client, alice: User, bob: User) -> None:
    place(alice, "sell", "1", "50000")
    place(bob, "buy", "0.25", "50000")
    page = body(client.get("/markets/"))
    assert "50,000.00" in page, "the last price is there before the worker made a candle"
    start = timezone.now() - timedelta(hours=3)
    prices = {"open": 40_000, "high": 52_000, "low": 39_000, "close": 41_000}
    Candle.objects.create(market_id="BTC-USDC", start=start, volume=Decimal("1.5"), trades=2, **prices)
    page = body(client.get("/markets/"))
    assert all(text in page for text in ("+25.00 %", "52,000.00", "39,000.00", "1.5000"))
    assert client.get("/markets/", headers=HTMX).content.decode().strip().startswith("<tr>")


def test_book_and_trades(client: Client, alice: User, bob: User) -> None:
    for number in range(12):
        place(alice, "sell", "0.5", str(50_000 + number))
        place(bob, "buy", "0.25", str(49_990 - number))
    place(bob, "buy", "0.1", "50000")
    page = client.get(PAGE).content.decode()
    levels = re.findall(r"/></svg>([0-9,.]+)</td><td class=\"number\">([0-9.]+)</td>", page)
    assert len(levels) == 20
    assert levels[0] == ("50,009.00", "0.5000")
    assert levels[9:11] == [("50,000.00", "0.4000"), ("49,990.00", "0.2500")]
    assert re.findall(r'<rect x="([0-9.]+)" width="100"', page)[9:11] == ["20.0", "50.0"]
    assert 'Spread</th><td class="number">10.00' in page
    assert re.search(r"Buy at </span> 50,000\.00</td><td class=\"number\">0\.1000", page)
    live = client.get(f"{PAGE}live/").content.decode()
    assert re.findall(r'id="(\w+)" hx-swap-oob', live) == ["ticker", "book", "trades"]
    assert "49,990.00" in live


@pytest.mark.parametrize(
    ("interval", "shown"), [("", "1h"), ("1m", "1m"), ("5m", "5m"), ("1d", "1d"), ("7w", "1h"), ("\x00", "1h")]
)
def test_chart_of_an_interval(client: Client, db: None, interval: str, shown: str) -> None:
    del db
    start = timezone.now().replace(second=0, microsecond=0) - timedelta(hours=10)
    Candle.objects.bulk_create(
        Candle(
            market_id="BTC-USDC", start=start + timedelta(minutes=number), volume=1, trades=1,
            open=100 + number, high=102 + number, low=99 + number, close=101 + number,
        )
        for number in range(600)
    )  # fmt: skip
    page = client.get(f"{PAGE}chart/", {"interval": interval}).content.decode()
    assert re.search(rf'id="interval-{shown}"[^>]* aria-current="true"', page)
    assert page.count('aria-current="true"') == 1
    candles = page.split("</svg>")[0].count("<title>")
    assert candles == {"1m": 80, "5m": 80}.get(shown, candles)
    assert 1 <= candles <= 80
    assert page.count('role="img" aria-label="BTC-USDC') == 2, "one for wide screens and one for narrow ones"


def test_no_candles_yet(client: Client, db: None) -> None:
    del db
    assertContains(client.get(PAGE), "No candles yet.")


@pytest.mark.parametrize("code", ["DOGE-EUR", "btc-usdc", "BTC_USDC", "x" * 300, "%00", "..", "BTC-USDC'"])
@pytest.mark.parametrize("part", ["", "live/", "chart/", "own/", "order/", "estimate/"])
def test_unknown_markets(customer_client: Client, code: str, part: str) -> None:
    path = f"/markets/{code}/{part}"
    method = customer_client.post if part in {"order/", "estimate/"} else customer_client.get
    assert method(path, ORDER).status_code == 404


@pytest.mark.parametrize("path", [PAGE, "/markets/", f"{PAGE}live/", f"{PAGE}own/"])
def test_as_many_queries_for_more(
    customer_client: Client, alice: User, bob: User, path: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(14) as few:
        customer_client.get(path)
    for number in range(5):
        place(alice, "sell", "0.1", str(50_000 + number))
        place(bob, "buy", "0.01", str(50_000))
    with django_assert_max_num_queries(len(few.captured_queries)):
        customer_client.get(path)


# --- Trading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [f"{PAGE}own/", f"{PAGE}order/", f"{PAGE}estimate/", "/markets/orders/1/cancel/"])
def test_strangers_may_not_trade(client: Client, alice: User, path: str) -> None:
    del alice
    method = client.get if path.endswith("own/") else client.post
    # Nobody can come back to what was sent.
    assertRedirects(method(path), f"/accounts/login/?next={path if path.endswith('own/') else '/wallet/'}")
    # A part of a page can't show the login: the page goes there, and comes back.
    response = method(path, headers=HTMX | {"HX-Current-URL": f"http://testserver{PAGE}?interval=1h"})
    assert response.headers["HX-Redirect"] == f"/accounts/login/?next={PAGE}%3Finterval%3D1h"
    assert not Order.objects.exists()


def test_limit_order_then_cancel(customer_client: Client, alice: User) -> None:
    response = customer_client.post(f"{PAGE}order/", ORDER)
    assertRedirects(response, PAGE, fetch_redirect_response=False)
    assert said(response) == ["Your order to buy 0.40 BTC at 50,000.00 USDC waits in the book."]
    order = Order.objects.get(user=alice)
    page = customer_client.get(PAGE)
    assertContains(page, f'aria-label="Cancel order {order.pk}"')
    assertContains(page, "<dt>USDC available</dt><dd>980,000.00</dd>")
    response = customer_client.post(f"/markets/orders/{order.pk}/cancel/")
    assertRedirects(response, PAGE, fetch_redirect_response=False)
    assert said(response)[-1] == f"Order {order.pk} is cancelled."
    assertContains(customer_client.get(PAGE), "You have no open orders on this market.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "0.4"}, "Bought 0.40 BTC at 50,000.00 USDC on average."),
        ({"quantity": "1.5"}, "Bought 1.50 BTC at 50,166.67 USDC on average."),
        ({"quantity": "3", "price": "50000"},
         "Bought 1.00 of 3.00 BTC at 50,000.00 USDC on average; the rest waits in the book."),
        ({"quantity": "3", "kind": "market"},
         "Bought 2.00 of 3.00 BTC at 50,250.00 USDC on average; the rest was cancelled: nobody offered more."),
        ({"side": "sell", "kind": "market"}, "Nothing was sold: nobody offered more."),
    ],
)  # fmt: skip
def test_what_became_of_an_order(
    customer_client: Client, alice: User, bob: User, change: dict[str, str], message: str
) -> None:
    del alice
    place(bob, "sell", "1", "50000")
    place(bob, "sell", "1", "50500")
    wanted = ORDER | {"price": "50500"} | change
    assert said(customer_client.post(f"{PAGE}order/", wanted)) == [message]
    response = customer_client.post(f"{PAGE}order/", wanted, headers=HTMX)
    assert (
        response.headers["HX-Trigger"] == '{"orders-changed": {}}' or "orders-changed" in response.headers["HX-Trigger"]
    )
    assertContains(response, message)
    assertNotContains(response, "<html")
    assert violations() == []


def test_a_market_order_needs_no_price(customer_client: Client, alice: User, bob: User) -> None:
    place(bob, "sell", "1", "50000")
    customer_client.post(f"{PAGE}order/", ORDER | {"kind": "market", "price": "not a number"})
    order = Order.objects.get(user=alice)
    assert (order.kind, order.price, order.status) == ("market", None, "filled")


def test_form_sent_twice_acts_once(customer_client: Client, alice: User) -> None:
    for _ in range(3):
        assert customer_client.post(f"{PAGE}order/", ORDER).status_code == 302
    assert Order.objects.filter(user=alice).count() == 1
    response = customer_client.post(f"{PAGE}order/", ORDER | {"quantity": "0.5"})
    assertContains(response, "This key was used before, for another order.", status_code=400)
    assert Order.objects.filter(user=alice).count() == 1


def test_after_an_order_the_form_has_another_key_and_no_quantity(customer_client: Client, alice: User) -> None:
    del alice
    page = customer_client.post(f"{PAGE}order/", ORDER | {"side": "sell"}, headers=HTMX).content.decode()
    key = re.search(r'name="idempotency_key" value="([0-9a-f]{32})"', page)
    assert key
    assert key[1] != ORDER["idempotency_key"]
    assert re.search(r'value="sell"[^>]* checked', page)
    assert 'value="50000"' in page
    assert 'value="0.4"' not in page


BAD_NUMBERS = [
    "0",
    "-5",
    "NaN",
    "nan",
    "Infinity",
    "1e3",
    "9" * 40,
    "1,5",
    "0x10",
    "<script>",
    "\x00",
    "\N{SUPERSCRIPT TWO}",
    "1_0",
]


@pytest.mark.parametrize("field", ["quantity", "price"])
@pytest.mark.parametrize("number", [*BAD_NUMBERS, "", "0.00001", "0.000000000000000000001", "1000000000001", "9" * 61])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_bad_numbers_change_nothing(
    customer_client: Client, alice: User, field: str, number: str, headers: dict[str, str]
) -> None:
    before = Posting.objects.count()
    response = customer_client.post(f"{PAGE}order/", ORDER | {field: number}, headers=headers)
    assert response.status_code == 400
    assert b"<script>" not in response.content
    page = response.content.decode()
    said_beside = re.search(rf'<ul class="errorlist" id="id_{field}_error">', page)
    assert said_beside, "what is wrong stands beside its field"
    assert f'aria-describedby="id_{field}_error"' in page
    assert 'aria-invalid="true"' in page
    assert not Order.objects.filter(user=alice).exists()
    assert Posting.objects.count() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "steal"}, "This form is not complete."),
        ({"side": ""}, "This form is not complete."),
        ({"kind": "stop"}, "This form is not complete."),
        ({"idempotency_key": ""}, "This form is not complete."),
        ({"idempotency_key": "'; DROP TABLE"}, "This form is not complete."),
        ({"idempotency_key": "x" * 101}, "This form is not complete."),
        ({"price": ""}, "A limit order needs a price."),
        ({"price": "50000.001"}, "multiple of 0.01 USDC"),
        ({"quantity": "0.00001"}, "multiple of 0.0001 BTC"),
        ({"quantity": "21"}, "That is more than is available."),
        ({"side": "sell", "quantity": "10.0001"}, "That is more than is available."),
        ({"quantity": "1000000000", "price": "1000000000"}, "Price times quantity must be at most"),
    ],
)
def test_refused_orders(customer_client: Client, alice: User, change: dict[str, str], message: str) -> None:
    response = customer_client.post(f"{PAGE}order/", ORDER | change)
    assertContains(response, message, status_code=400)
    assertContains(response, "Order book", status_code=400)
    assert not Order.objects.filter(user=alice).exists()


def test_frozen_account(customer_client: Client, alice: User) -> None:
    waiting = place(alice, "buy", "1", "40000")
    freeze(alice.pk, "asked for by the customer")
    response = customer_client.post(f"{PAGE}order/", ORDER)
    assertContains(response, "This account is frozen. Please write to support.", status_code=400)
    assertContains(customer_client.get(PAGE), "Your account is frozen.")
    assertContains(customer_client.get("/wallet/"), "Your account is frozen.")
    assert Order.objects.filter(user=alice).count() == 1
    customer_client.post(f"/markets/orders/{waiting.pk}/cancel/")
    waiting.refresh_from_db()
    assert waiting.status == "cancelled"


def test_closed_market(customer_client: Client, alice: User) -> None:
    Market.objects.filter(pk="BTC-USDC").update(is_open=False)
    assertContains(customer_client.get(PAGE), "This market takes no orders at the moment.")
    response = customer_client.post(f"{PAGE}order/", ORDER)
    assertContains(response, "BTC-USDC takes no orders at the moment.", status_code=400)
    assert not Order.objects.filter(user=alice).exists()


@pytest.mark.parametrize("number", [1, 2**63 - 1, 2**63, 10**30])
def test_orders_that_are_not_there(customer_client: Client, alice: User, number: int) -> None:
    del alice
    assert customer_client.post(f"/markets/orders/{number}/cancel/").status_code == 404


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_orders_of_others(customer_client: Client, alice: User, bob: User, headers: dict[str, str]) -> None:
    del alice
    theirs = place(bob, "sell", "1", "50000")
    assert customer_client.post(f"/markets/orders/{theirs.pk}/cancel/", headers=headers).status_code == 404
    theirs.refresh_from_db()
    assert theirs.status == "open"


def test_cancelling_what_is_filled_or_cancelled(customer_client: Client, alice: User, bob: User) -> None:
    filled, cancelled = place(alice, "sell", "1", "50000"), place(alice, "sell", "1", "60000")
    place(bob, "buy", "1", "50000")
    cancel_order(alice, cancelled.pk)
    response = customer_client.post(f"/markets/orders/{filled.pk}/cancel/", follow=True)
    assertContains(response, "This order has been filled already.")
    response = customer_client.post(f"/markets/orders/{cancelled.pk}/cancel/", headers=HTMX)
    assertContains(response, f"Order {cancelled.pk} is cancelled.")
    assert "orders-changed" in response.headers["HX-Trigger"]
    assert violations() == []


@pytest.mark.parametrize("path", [f"{PAGE}order/", f"{PAGE}estimate/", "/markets/orders/1/cancel/"])
def test_forms_of_other_sites_are_refused(alice: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(path, ORDER).status_code == 403
    assert client.post(path, ORDER, headers=HTMX).status_code == 403
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [("post", PAGE), ("get", f"{PAGE}order/"), ("get", "/markets/orders/1/cancel/"), ("put", f"{PAGE}order/")],
)
def test_other_methods(customer_client: Client, method: str, path: str) -> None:
    assert getattr(customer_client, method)(path).status_code == 405


def test_own_orders_are_ones_own(customer_client: Client, alice: User, bob: User) -> None:
    mine, theirs = place(alice, "sell", "1", "50000"), place(bob, "sell", "1", "50001")
    page = customer_client.get(f"{PAGE}own/", headers=HTMX)
    assertContains(page, f"cancel-{mine.pk}")
    assertNotContains(page, f"cancel-{theirs.pk}")
    assertContains(page, '<dl class="available" id="available" hx-swap-oob="true">')


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        ({"quantity": "0.5"}, ["Pays at once", "25,000.00", "50,000.00", "0.001 "]),
        ({"quantity": "1.5", "kind": "market"}, ["75,250.00", "50,166.67", "0.003 "]),
        ({"quantity": "3", "kind": "market"}, ["100,500.00", "Finds nobody", "1.0000"]),
        ({"quantity": "3"}, ["50,000.00", "Waits in the book", "2.0000", "Held for it", "100,000.00"]),
        ({"side": "sell", "price": "60000"}, ["Waits in the book", "0.4000"]),
        ({"side": "sell", "price": "1"}, ["Brings at once", "19,600.00", "39.20", "Average price"]),
    ],
)
def test_estimates(customer_client: Client, alice: User, bob: User, change: dict[str, str], figures: list[str]) -> None:
    for side, quantity, price in (("sell", "1", "50000"), ("sell", "1", "50500"), ("buy", "1", "49000")):
        place(bob, side, quantity, price)
    page = body(customer_client.post(f"{PAGE}estimate/", ORDER | change, headers=HTMX))
    assert all(figure in page for figure in figures), page
    assert not Order.objects.filter(user=alice).exists()


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_no_estimate_of_nonsense(customer_client: Client, number: str) -> None:
    page = customer_client.post(f"{PAGE}estimate/", ORDER | {"quantity": number})
    assert page.content.strip() == b""


def test_a_trade_is_live_at_once(customer_client: Client, alice: User, bob: User) -> None:
    place(alice, "sell", "1", "50000")
    place(bob, "buy", "0.25", "50000")
    assert Trade.objects.count() == 1
    assert not Candle.objects.exists()
    assertContains(customer_client.get(f"{PAGE}live/"), '<dd class="last">50,000.00')
