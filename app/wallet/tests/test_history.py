from __future__ import annotations

import csv
import io
import re
import uuid
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from accounts.models import User
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, request_deposit, request_withdrawal
from markets.models import Order, Trade
from markets.services.orders import OrderRequest, cancel_order, place_order
from wallet.exports import as_csv, safe
from wallet.queries import balances

HISTORIES = ["movements", "orders", "trades"]


def place(user: User, side: str, quantity: str, price: str | None = None, key: str | None = None) -> Order:
    """Place an order on a market of fine assets."""
    limit = None if price is None else Decimal(price)
    request = OrderRequest("ETH-BTC", Order.Side(side), Decimal(quantity), limit)
    return place_order(user, request, key or uuid.uuid4().hex)


@pytest.fixture
def traders(user: User, make_user: Callable[[str], User]) -> tuple[User, User]:
    """Return two customers who have traded, the first of whom is the browser's."""
    bob = make_user("bob")
    for trader in (user, bob):
        for code, amount in (("BTC", "10"), ("ETH", "100.000000000000000001")):
            asset = Asset.objects.get(pk=code)
            confirm_transfer(request_deposit(trader, asset, Decimal(amount), f"start-{code}").pk)
    cancelled = place(user, "buy", "2", "0.01", key="-key-of-the-first")
    cancel_order(user, cancelled.pk)
    place(user, "sell", "1.234", "0.06012")
    place(bob, "buy", "1.234", "0.06012")
    place(bob, "sell", "5", "0.0612")
    place(user, "buy", "0.5")
    place(user, "sell", "1", "0.07")
    request_withdrawal(user, Asset.objects.get(pk="BTC"), Decimal("0.5"), "=cmd|'/c calc'!A1", "withdrawal-1")
    return user, bob


def read(client: Client, what: str) -> list[dict[str, str]]:
    """Download a history and return its rows."""
    response = client.get(f"/wallet/history/{what}.csv")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(rf'attachment; filename="{what}-[0-9-]+\.csv"', response.headers["Content-Disposition"])
    assert response.headers["Cache-Control"] == "private, no-store"
    text = b"".join(getattr(response, "streaming_content")).decode()  # noqa: B009 - not every response has it
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("what", HISTORIES)
def test_strangers_are_sent_to_the_login(client: Client, db: None, what: str) -> None:
    del db
    for path in (f"/wallet/history/{what}/", f"/wallet/history/{what}.csv"):
        assertRedirects(client.get(path), f"/accounts/login/?next={path}")


@pytest.mark.parametrize("path", ["/wallet/history/secrets/", "/wallet/history/secrets.csv", "/wallet/history/.csv"])
def test_histories_that_are_not_there(customer_client: Client, path: str) -> None:
    assert customer_client.get(path).status_code == 404


@pytest.mark.parametrize("what", HISTORIES)
def test_nothing_yet(customer_client: Client, what: str) -> None:
    assertContains(customer_client.get(f"/wallet/history/{what}/"), 'class="empty"')
    assert read(customer_client, what) == []


def test_pages(customer_client: Client, traders: tuple[User, User]) -> None:
    del traders
    orders = customer_client.get("/wallet/history/orders/")
    assertContains(orders, "cancelled by its owner")
    assertContains(orders, "0.06012")
    assertContains(orders, 'aria-current="page">Orders</a>')
    trades = customer_client.get("/wallet/history/trades/").content.decode()
    values = re.findall(r'<td class="number">([0-9.]+) <abbr>(\w+)</abbr>', trades)
    assert values == [("0.0306", "BTC"), ("0.001", "ETH"), ("0.07418808", "BTC"), ("0.00007418", "BTC")]
    assertContains(customer_client.get("/wallet/"), "Open orders")


def test_trades_as_csv(customer_client: Client, traders: tuple[User, User]) -> None:
    del traders
    rows = read(customer_client, "trades")
    assert [{name: row[name] for name in row if name not in {"trade", "time", "order"}} for row in rows] == [
        {"market": "ETH-BTC", "side": "buy", "role": "taker", "price": "0.0612", "quantity": "0.50",
         "value": "0.0306", "fee": "0.001", "fee_asset": "ETH"},
        {"market": "ETH-BTC", "side": "sell", "role": "maker", "price": "0.06012", "quantity": "1.234",
         "value": "0.07418808", "fee": "0.00007418", "fee_asset": "BTC"},
    ]  # fmt: skip
    assert [int(row["trade"]) for row in rows] == list(Trade.objects.order_by("-pk").values_list("pk", flat=True))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", row["time"]) for row in rows)


def test_orders_as_csv(customer_client: Client, traders: tuple[User, User]) -> None:
    alice, _ = traders
    rows = read(customer_client, "orders")
    found = list(Order.objects.filter(user=alice).order_by("-pk"))
    assert [int(row["order"]) for row in rows] == [order.pk for order in found]
    for row, order in zip(rows, found, strict=True):
        assert (row["side"], row["type"], row["status"], row["reason"]) == (
            order.side, order.kind, order.status, order.reason,
        )  # fmt: skip
        assert (Decimal(row["quantity"]), Decimal(row["filled"])) == (order.quantity, order.filled)
        assert (Decimal(row["price"]) if row["price"] else None) == order.price
        assert bool(row["closed"]) == (order.closed_at is not None)
    assert rows[-1]["idempotency_key"] == "'-key-of-the-first", "what a program chose is text, not a formula"


def test_movements_as_csv_sum_up_to_the_balances(customer_client: Client, traders: tuple[User, User]) -> None:
    alice, _ = traders
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    rows = read(customer_client, "movements")
    for row in rows:
        sums[row["asset"], row["account"]] += Decimal(row["amount"])
    for balance in balances(alice):
        assert sums[balance.asset.pk, "available"] == balance.available
        assert sums[balance.asset.pk, "held"] == balance.held
    assert {row["what"] for row in rows} == {"deposit", "hold", "release", "trade"}
    assert any(row["amount"] == "100.000000000000000001" for row in rows), "all decimals of the asset"


@pytest.mark.parametrize("what", HISTORIES)
def test_rows_of_others_are_not_in_it(
    customer_client: Client, traders: tuple[User, User], client: Client, what: str
) -> None:
    mine = read(customer_client, what)
    assert mine
    client.force_login(traders[1], backend="allauth.account.auth_backends.AuthenticationBackend")
    theirs = read(client, what)
    assert theirs
    name = what.removesuffix("s")
    if what == "orders":
        assert not {row[name] for row in mine} & {row[name] for row in theirs}
    else:
        assert mine != theirs
    assertNotContains(client.get(f"/wallet/history/{what}/"), "-key-of-the-first")


def test_all_of_it_with_few_queries(
    customer_client: Client,
    user: User,
    btc: Asset,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(120):
        confirm_transfer(request_deposit(user, btc, Decimal(number + 1), f"key-{number}").pk)
    monkeypatch.setattr("wallet.history.PORTION", 50)
    with django_assert_max_num_queries(8) as queries:
        rows = read(customer_client, "movements")
    assert not any("CURSOR" in query["sql"] for query in queries.captured_queries), "none survives a pooler"
    assert [Decimal(row["amount"]) for row in rows] == [Decimal(number) for number in range(120, 0, -1)]


def test_a_long_one_is_sent_in_chunks() -> None:
    rows = ([str(number), "x" * 90] for number in range(10_000))
    chunks = list(as_csv(rows))
    assert len(chunks) > 50
    assert list(csv.reader(io.StringIO("".join(chunks)))) == [[str(number), "x" * 90] for number in range(10_000)]


@pytest.mark.parametrize(
    ("cell", "safely"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\N{FULLWIDTH EQUALS SIGN}1", "'\N{FULLWIDTH EQUALS SIGN}1"),
        ("-", "'-"),
        ("-5", "-5"),
        ("-5.00", "-5.00"),
        ("-5.00e1", "'-5.00e1"),
        ("-\N{ARABIC-INDIC DIGIT FIVE}", "'-\N{ARABIC-INDIC DIGIT FIVE}"),
        ("5", "5"),
        ("text = text", "text = text"),
        ("", ""),
    ],
)
def test_nothing_is_a_formula(cell: str, safely: str) -> None:
    assert safe(cell) == safely


def test_page_by_page(customer_client: Client, traders: tuple[User, User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wallet.history.PAGE", 1)
    for what, shown in (("orders", 4), ("trades", 2), ("movements", 11)):
        address, pages = f"/wallet/history/{what}/", []
        while True:
            page = customer_client.get(address).content.decode()
            pages.append(page.split("<tbody>")[1])
            older = re.search(r'rel="next" href="([^"]+)"', page)
            if not older:
                break
            address = f"/wallet/history/{what}/{older[1]}"
        assert [body.count("<tr>") for body in pages] == [1] * shown, what
    assert Order.objects.filter(user=traders[0]).count() == 4
