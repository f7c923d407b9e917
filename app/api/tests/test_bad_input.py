"""Whatever is wrong with a request: the right 4xx, in problem details that name the field, and nothing changes."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from api.tests.conftest import Program, problem
from ledger.models import Posting, Transfer
from markets.models import Order

ORDER = {"market": "BTC-USDC", "side": "sell", "quantity": "1", "price": "50000"}
DEPOSIT = {"asset": "BTC", "amount": "1"}
WITHDRAWAL = {"asset": "BTC", "amount": "1", "destination": "bc1q0000"}
ROUTES: dict[str, tuple[str, dict[str, str]]] = {
    "order": ("/orders", ORDER),
    "deposit": ("/deposits", DEPOSIT),
    "withdrawal": ("/withdrawals", WITHDRAWAL),
}


@pytest.fixture(autouse=True)
def nothing_changes(alice: Program) -> Any:
    """Check that a test moves no money."""
    before = (Order.objects.count(), Transfer.objects.count(), Posting.objects.count())
    yield
    assert (Order.objects.count(), Transfer.objects.count(), Posting.objects.count()) == before
    assert alice.owns("BTC") == ("10", "0")


AMOUNTS = ["order.quantity", "order.price", "deposit.amount", "withdrawal.amount"]
NOT_PLAIN: list[object] = [
    "", " ", "1 ", " 1", "1\n", "-1", "+1", "-0", "NaN", "nan", "sNaN", "Infinity", "-Infinity", "inf", "1e9", "1E9",
    "1e-9", "1_000", "1,5", "1.", ".5", "1..5", "0x10", "1/2", "\N{ARABIC-INDIC DIGIT ONE}", "\N{FULLWIDTH DIGIT ONE}", "\N{SUPERSCRIPT TWO}", "9" * 31, "0." + "0" * 30 + "1", "\x00",
    "1\x00", "<b>1</b>", "' OR 1=1", "1" * 10_000, 1, 1.0, 0.1, 10**400, True, [], ["1"], {}, {"amount": "1"},
]  # fmt: skip


@pytest.mark.parametrize("where", AMOUNTS)
@pytest.mark.parametrize("value", NOT_PLAIN, ids=lambda value: repr(value)[:20])
def test_amounts_are_texts_of_plain_digits(alice: Program, where: str, value: object) -> None:
    route, field = where.split(".")
    path, body = ROUTES[route]
    details = problem(alice.post(path, body | {field: value}), 422, "invalid-request")
    assert {error["field"].split(".")[0] for error in details["errors"]} == {field}


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("order.quantity", "0"),
        ("order.quantity", "0.0000"),
        ("order.quantity", "0.00001"),
        ("order.quantity", "1000000000000.0001"),
        ("order.quantity", "9" * 30),
        ("order.quantity", "1." + "0" * 29 + "1"),
        ("order.price", "0"),
        ("order.price", "0.001"),
        ("order.price", "9" * 30),
        ("order.price", "1000000000000.01"),
        ("deposit.amount", "0"),
        ("deposit.amount", "0.000000001"),
        ("deposit.amount", "1000000000000.1"),
        ("deposit.amount", "9" * 30),
        ("withdrawal.amount", "0.000000000"),
        ("withdrawal.amount", "1." + "0" * 29 + "1"),
    ],
)
def test_amounts_that_are_none_of_this_asset(alice: Program, where: str, value: str) -> None:
    route, field = where.split(".")
    path, body = ROUTES[route]
    code = "invalid-order" if route == "order" else "invalid-amount"
    details = problem(alice.post(path, body | {field: value}), 422, code)
    assert [error["field"] for error in details["errors"]] == [field]


@pytest.mark.parametrize(
    ("where", "value", "status", "code"),
    [
        ("order.market", "DOGE-USDC", 404, "unknown-market"),
        ("order.market", "btc-usdc", 422, "invalid-request"),
        ("order.market", "BTC-USDC\x00", 422, "invalid-request"),
        ("order.market", "BTC-USDC\n", 422, "invalid-request"),
        ("order.market", None, 422, "invalid-request"),
        ("order.market", 1, 422, "invalid-request"),
        ("order.market", "", 422, "invalid-request"),
        ("order.market", ["BTC-USDC"], 422, "invalid-request"),
        ("order.side", "BUY", 422, "invalid-request"),
        ("order.side", "hold", 422, "invalid-request"),
        ("order.side", None, 422, "invalid-request"),
        ("order.quantity", None, 422, "invalid-request"),
        ("order.kind", "market", 422, "invalid-request"),
        ("order.user_id", 1, 422, "invalid-request"),
        ("deposit.asset", "DOGE", 404, "unknown-asset"),
        ("deposit.asset", "btc", 422, "invalid-request"),
        ("deposit.asset", None, 422, "invalid-request"),
        ("deposit.amount", None, 422, "invalid-request"),
        ("deposit.state", "confirmed", 422, "invalid-request"),
        ("withdrawal.asset", "\x00", 422, "invalid-request"),
        ("withdrawal.destination", None, 422, "invalid-request"),
        ("withdrawal.destination", "", 422, "invalid-request"),
        ("withdrawal.destination", "abc", 422, "invalid-request"),
        ("withdrawal.destination", "    ", 422, "invalid-request"),
        ("withdrawal.destination", " bc1q0000", 422, "invalid-request"),
        ("withdrawal.destination", "bc1q0000\n", 422, "invalid-request"),
        ("withdrawal.destination", "bc1q\x00000", 422, "invalid-request"),
        ("withdrawal.destination", "bc1q\x1b[31m0", 422, "invalid-request"),
        ("withdrawal.destination", "x" * 101, 422, "invalid-request"),
        ("withdrawal.destination", 12345, 422, "invalid-request"),
    ],
)
def test_other_fields(alice: Program, where: str, value: object, status: int, code: str) -> None:
    route, field = where.split(".")
    path, body = ROUTES[route]
    details = problem(alice.post(path, body | {field: value}), status, code)
    if status == 422:
        assert {error["field"].split(".")[0] for error in details["errors"]} == {field}


@pytest.mark.parametrize("route", ROUTES)
def test_missing_fields(alice: Program, route: str) -> None:
    path, body = ROUTES[route]
    details = problem(alice.post(path, {}), 422, "invalid-request")
    assert {error["field"] for error in details["errors"]} == set(body) - {"price"}


MALFORMED: list[tuple[bytes, int, str]] = [
    (b"", 422, "invalid-request"),
    (b"null", 422, "invalid-request"),
    (b"[]", 422, "invalid-request"),
    (b'"text"', 422, "invalid-request"),
    (b"1", 422, "invalid-request"),
    (b"{", 400, "malformed-request"),
    (b"{}}", 400, "malformed-request"),
    (b"{'market': 1}", 400, "malformed-request"),
    (b'{"quantity": NaN}', 400, "malformed-request"),
    (b'{"quantity": Infinity}', 400, "malformed-request"),
    (b'{"quantity": -Infinity}', 400, "malformed-request"),
    (b'{"market": "\\ud800"}', 400, "malformed-request"),
    (b'{"market": "\xff"}', 400, "malformed-request"),
    (b"\xef\xbb\xbf{}", 400, "malformed-request"),
    ('{"market": "BTC"}'.encode("utf-16"), 400, "malformed-request"),
    (b"\x00", 400, "malformed-request"),
    (b"[" * 10_000, 400, "malformed-request"),
    (b'{"a":' * 3_000, 400, "malformed-request"),
    (b'{"quantity": ' + b"9" * 10_000 + b"}", 400, "malformed-request"),
    (b'{"market": "' + b"x" * 17_000 + b'"}', 413, "body-too-large"),
    (b'{"market": "' + b"x" * 2_000_000 + b'"}', 413, "body-too-large"),
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("body", "status", "code"), MALFORMED, ids=lambda value: repr(value)[:20])
def test_malformed_bodies(alice: Program, route: str, body: bytes, status: int, code: str) -> None:
    problem(alice.post(ROUTES[route][0], body), status, code)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/json", "", "\x7f"],
)
def test_other_content_types(alice: Program, route: str, content_type: str) -> None:
    path, body = ROUTES[route]
    headers = {"Authorization": f"Bearer {alice.token}", "Idempotency-Key": uuid.uuid4().hex}
    response = alice.client.generic(
        "POST", f"/api/v1{path}", json.dumps(body), content_type=content_type, headers=headers
    )
    problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/markets/DOGE-USDC", 404, "unknown-market"),
        ("/markets/DOGE-USDC/book", 404, "unknown-market"),
        ("/markets/DOGE-USDC/trades", 404, "unknown-market"),
        ("/markets/DOGE-USDC/candles", 404, "unknown-market"),
        ("/markets/btc-usdc", 404, "unknown-market"),
        ("/markets/%00", 404, "unknown-market"),
        ("/markets/%FF", 404, "unknown-market"),
        ("/markets/BTC-USDC%0A", 404, "unknown-market"),
        (f"/markets/{'X' * 5000}", 404, "unknown-market"),
        ("/markets/BTC-USDC/book?levels=0", 422, "invalid-request"),
        ("/markets/BTC-USDC/book?levels=101", 422, "invalid-request"),
        ("/markets/BTC-USDC/book?levels=-1", 422, "invalid-request"),
        ("/markets/BTC-USDC/book?levels=1.5", 422, "invalid-request"),
        ("/markets/BTC-USDC/book?levels=1e1", 422, "invalid-request"),
        (f"/markets/BTC-USDC/book?levels={'9' * 5000}", 422, "invalid-request"),
        ("/markets/BTC-USDC/trades?limit=101", 422, "invalid-request"),
        ("/markets/BTC-USDC/candles?limit=1001", 422, "invalid-request"),
        ("/markets/BTC-USDC/candles?interval=61", 422, "invalid-request"),
        ("/markets/BTC-USDC/candles?interval=x", 422, "invalid-request"),
        ("/orders?limit=0", 422, "invalid-request"),
        ("/orders?limit=x", 422, "invalid-request"),
        ("/orders?status=lost", 422, "invalid-request"),
        ("/orders?status=%00", 422, "invalid-request"),
        ("/orders?market=DOGE-USDC", 404, "unknown-market"),
        ("/orders?market=%00", 404, "unknown-market"),
        ("/transfers?limit=1000", 422, "invalid-request"),
        ("/orders/-1", 404, "not-found"),
        ("/orders/1.5", 404, "not-found"),
        ("/orders/x", 404, "not-found"),
        ("/orders/%00", 404, "not-found"),
        ("/transfers/not-a-uuid", 404, "not-found"),
        ("/nowhere", 404, "not-found"),
        ("/orders/", 404, "not-found"),
        ("", 404, "not-found"),
    ],
)
def test_bad_addresses(alice: Program, path: str, status: int, code: str) -> None:
    problem(
        alice.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {alice.token}"}, follow=True),
        status,
        code,
    )


@pytest.mark.parametrize("path", ["/markets/BTC-USDC/trades", "/markets/BTC-USDC/candles", "/orders", "/transfers"])
@pytest.mark.parametrize(
    "cursor",
    ["", "x", "MQ==", "%00", "%FF", "LTE", "MS4w", "MTBlOQ", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "2aE", "_w", "A" * 99, "A" * 101],
)  # fmt: skip
def test_bad_cursors(alice: Program, path: str, cursor: str) -> None:
    response = alice.get(f"{path}?cursor={cursor}")
    assert problem(response, 422, response.json()["code"])["code"] in {"invalid-cursor", "invalid-request"}


@pytest.mark.parametrize("path", ["/markets/BTC-USDC/trades", "/markets/BTC-USDC/candles", "/orders"])
@pytest.mark.parametrize("cursor", ["MA", "OTk5OTk5OTk5OTk5OTk5OTk5"])
def test_cursors_beyond_the_ends(alice: Program, path: str, cursor: str) -> None:
    assert alice.get(f"{path}?cursor={cursor}").json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/orders", {"GET", "POST"}),
        ("PATCH", "/orders/1", {"GET", "DELETE"}),
        ("POST", "/orders/1", {"GET", "DELETE"}),
        ("DELETE", "/balances", {"GET"}),
        ("GET", "/deposits", {"POST"}),
        ("TRACE", "/markets", {"GET"}),
    ],
)
def test_other_methods(alice: Program, method: str, path: str, allowed: set[str]) -> None:
    response = alice.client.generic(method, f"/api/v1{path}", headers={"Authorization": f"Bearer {alice.token}"})
    problem(response, 405, "method-not-allowed")
    assert set(response.headers["Allow"].split(", ")) == allowed
