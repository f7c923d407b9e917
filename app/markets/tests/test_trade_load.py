"""The load itself: what it does when answers fail to come, and what its verification finds."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.management import CommandError, call_command

from accounts.made_up import CustomersError
from accounts.models import User
from api.models import ApiToken
from api.schemas import OrderWithTrades
from api.tokens import find
from ledger.checks import violations
from markets.load.client import Client, DroppedError, Target
from markets.load.record import Event, Record, read
from markets.load.report import percentiles_ms
from markets.load.traders import Trader, load, prepare, save
from markets.load.trading import Load, Plan, UnusableError
from markets.load.verify import RecordError, verify
from markets.models import Order
from markets.services.orders import OrderRequest, cancel_order, place_order
from testing.processes import Gunicorn, manage

MARKET = {"code": "BTC-USDC", "tick_size": "0.01", "lot_size": "0.0001", "is_open": True}


class Handler(BaseHTTPRequestHandler):
    """Answers as the API does, or as a test wants it."""

    protocol_version = "HTTP/1.1"
    # What the next requests that place orders come to: ok, drop, silence, 503, ...
    script: ClassVar[list[str]] = []
    seen: ClassVar[list[tuple[str, str | None, bytes]]] = []
    answers: ClassVar[dict[str, bytes]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()

    def do_GET(self) -> None:
        """Describe the market."""
        empty: dict[str, list[object]] = {"bids": [], "asks": [], "items": []}
        self.answer(200, json.dumps(empty if "?" in self.path else MARKET).encode())

    def do_POST(self) -> None:
        """Place an order, once for each key."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = str(self.headers["Idempotency-Key"])
        with self.lock:
            self.seen.append((key, self.headers["Authorization"], body))
            step = self.script.pop(0) if self.script else "ok"
            replayed = key in self.answers
            order = {"id": len(self.answers) + 1, "status": "filled", "trades": []}
            if step in {"ok", "drop"}:
                self.answers.setdefault(key, json.dumps(order).encode())
        if step == "drop":
            self.close_connection = True
        elif step == "silence":
            time.sleep(1)
            self.close_connection = True
        elif step == "page":
            self.answer(404, b"404 page not found")
        elif step == "ok":
            self.answer(201, self.answers[key], {"Idempotency-Replayed": "true"} if replayed else {})
        else:
            status, _, retry_after = step.partition(" ")
            problem = json.dumps({"code": "because"}).encode()
            self.answer(int(status), problem, {"Retry-After": retry_after} if retry_after else {})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    """Run the misbehaving API and return its address."""
    Handler.script, Handler.seen, Handler.answers = [], [], {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def trade(address: str, record: Path | None, script: list[str], **changes: Any) -> dict[str, Any]:
    """Let one trader place orders and return the summary."""
    Handler.script = script
    plan: dict[str, Any] = {
        "markets": ["BTC-USDC"],
        "orders": 1,
        "seconds": None,
        "orders_per_second": None,
        "give_up_after_seconds": 20.0,
        "seed": 1,
    }
    writer = Record(record)
    running = Load(Target(address, 0.5), [Trader("load1", "secret")], Plan(**plan | changes), writer)
    running.run()
    writer.close()
    return running.tally.summary()


def test_sends_the_same_again_until_it_knows(api: str, tmp_path: Path) -> None:
    summary = trade(api, tmp_path / "record", ["drop", "silence", "503", "502", "ok"])
    assert len(Handler.seen) == 5
    assert len(set(Handler.seen)) == 1, "the same key, token and body each time"
    assert summary["orders_acknowledged"] == 1
    assert summary["first_tries_failed"] == {"dropped": 1}
    assert summary["later_tries_failed"] == {"timeout": 1, "503": 1, "502": 1}
    assert (summary["orders_retried"], summary["retries"], summary["orders_given_up"]) == (1, 4, 0)
    # The dropped one had been done: what came at last was the stored answer.
    assert summary["answers_replayed"] == 1
    events = list(read(tmp_path / "record"))
    assert [event["event"] for event in events] == ["start", *["try", "failed"] * 4, "try", "answered", "end"]
    assert [event["number"] for event in events if event["event"] == "try"] == [1, 2, 3, 4, 5]
    assert events[1]["body"] == json.loads(Handler.seen[0][2])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_an_answer_that_says_no_is_not_asked_again(api: str, status: int) -> None:
    summary = trade(api, None, [str(status)])
    assert len(Handler.seen) == 1
    assert summary["refused"] == {f"orders: {status} because": 1}
    assert (summary["orders_acknowledged"], summary["retries"]) == (0, 0)


def test_a_page_of_something_before_the_api_is_no_answer(api: str) -> None:
    summary = trade(api, None, ["page", "ok"])
    assert (summary["orders_acknowledged"], summary["refused"]) == (1, {})
    assert summary["first_tries_failed"] == {"404": 1}


def test_waits_as_long_as_the_server_asks(api: str) -> None:
    started = time.monotonic()
    trade(api, None, ["503 1", "ok"])
    assert time.monotonic() - started >= 1


def test_gives_up_in_the_end_and_says_so(api: str, tmp_path: Path) -> None:
    summary = trade(api, tmp_path / "record", ["503"] * 100, give_up_after_seconds=0.6)
    assert (summary["orders_given_up"], summary["orders_acknowledged"]) == (1, 0)
    assert summary["first_tries_failed"] == {"503": 1}
    assert len(Handler.seen) < 10
    assert "gave up" in [event["event"] for event in read(tmp_path / "record")]


def test_every_order_has_a_key_of_its_own(api: str) -> None:
    summary = trade(api, None, [], orders=30)
    assert summary["orders_acknowledged"] == 30
    keys = {key for key, _, _ in Handler.seen}
    assert len(keys) == 30
    assert all(re.fullmatch(r"[A-Za-z0-9-]{8,100}", key) for key in keys)


def test_pace(api: str) -> None:
    summary = trade(api, None, [], orders=10, orders_per_second=20.0)
    assert summary["seconds"] >= 0.45
    summary = trade(api, None, [], orders=None, seconds=1.0, orders_per_second=20.0)
    assert 1 <= summary["orders_acknowledged"] <= 20


def test_server_that_is_not_there(api: str) -> None:
    with pytest.raises(UnusableError, match="can't be reached"):
        trade(api.replace("127.0.0.1", "127.0.0.2"), None, [])


def test_half_an_answer_is_none() -> None:
    class Half(Handler):
        """Breaks off in the middle of the body."""

        def send_header(self, keyword: str, value: str) -> None:
            """Promise more than is sent."""
            super().send_header(keyword, "1000" if keyword == "Content-Length" else value)

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            """Hang up after it."""
            super().answer(status, body, headers)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Half)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = Client(Target(f"http://127.0.0.1:{server.server_port}", 1))
    with pytest.raises(DroppedError, match="IncompleteRead"):
        client.send("GET", "/markets/BTC-USDC")
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_tls_with_a_ca_of_its_own(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days", "2",
         "-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1,DNS:exchange.invalid"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"https://127.0.0.1:{server.server_port}"
    known = Client(Target(address, 5, ssl.create_default_context(cafile=tmp_path / "ca.pem")))
    stranger = Client(Target(address, 5))
    named, wrong = (
        Client(Target(f"https://{name}.invalid:{server.server_port}", 5, known.target.tls, address="127.0.0.1"))
        for name in ("exchange", "other")
    )
    try:
        for client in (known, named):
            assert client.send("GET", "/markets/BTC-USDC").body == MARKET
            client.close()
        with pytest.raises(DroppedError, match="Hostname mismatch"):
            wrong.send("GET", "/markets/BTC-USDC")
        with pytest.raises(DroppedError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.send("GET", "/markets/BTC-USDC")
    finally:
        known.close()
        server.shutdown()
        server.server_close()
        thread.join()


# --- The record against the database -----------------------------------------------------------------------------------
RUN = "load-0123456789ab"


@pytest.fixture
def recorded(db: None) -> list[Event]:
    """Place three orders and cancel one, as a load does, and return its record."""
    del db
    prepare(2)
    users = {name: User.objects.get(username=name) for name in ("load1", "load2")}
    events: list[Event] = [{"event": "start", "run": RUN, "traders": list(users), "base_url": "http://x"}]
    wanted = [("load1", "sell", "1", "100"), ("load2", "buy", "0.4", None), ("load1", "sell", "2", "200")]
    for number, (name, side, quantity, price) in enumerate(wanted, start=1):
        body = {"market": "BTC-USDC", "side": side, "quantity": quantity} | ({"price": price} if price else {})
        request = OrderRequest("BTC-USDC", Order.Side(side), Decimal(quantity), Decimal(price) if price else None)
        order = place_order(users[name], request, f"{RUN}-{number}")
        events += [attempt(number, name, body), answer(number, order)]
    cancel_order(users["load1"], order.pk)
    key = f"{RUN}-cancel-{order.pk}"
    path = f"/orders/{order.pk}"
    events += [
        {"event": "try", "key": key, "kind": "cancel", "trader": "load1", "number": 1, "path": path, "body": None},
        {"event": "answered", "key": key, "kind": "cancel", "number": 1, "status": 200, "body": {}},
    ]
    return events


def attempt(number: int, name: str, body: dict[str, str]) -> Event:
    """Return the event of a first try."""
    key = f"{RUN}-{number}"
    return {"event": "try", "key": key, "kind": "order", "trader": name, "number": 1, "path": "/orders", "body": body}


def answer(number: int, order: Order) -> Event:
    """Return the event of an acknowledgement."""
    order.refresh_from_db()
    body = OrderWithTrades.with_trades(order, list(order.taken.all())).model_dump(mode="json")
    return {"event": "answered", "key": f"{RUN}-{number}", "kind": "order", "number": 1, "status": 201, "body": body}


def test_everything_is_there(recorded: list[Event]) -> None:
    verdict = verify(recorded)
    assert verdict.problems == []
    assert verdict.counts == {"acknowledged": 3, "cancels answered": 1}


def of_key(events: list[Event], number: int) -> Event:
    """Return the acknowledgement of an order."""
    return next(event for event in events if event["event"] == "answered" and event["key"] == f"{RUN}-{number}")


CHANGES: list[tuple[str, Callable[[list[Event]], object], str]] = [
    ("id", lambda e: of_key(e, 1)["body"].update(id=10**9), "id is"),
    ("quantity", lambda e: of_key(e, 1)["body"].update(quantity="1.1"), "quantity is 1"),
    ("price", lambda e: of_key(e, 1)["body"].update(price="101"), "price is 100"),
    ("more filled", lambda e: of_key(e, 1)["body"].update(filled="0.5"), "filled is 0.4"),
    ("time", lambda e: of_key(e, 1)["body"].update(created_at="2026-01-01T00:00:00Z"), "created_at is"),
    ("status", lambda e: of_key(e, 2)["body"].update(status="cancelled"), "status is filled"),
    ("trade", lambda e: of_key(e, 2)["body"]["trades"][0].update(id=10**9), "was acknowledged and is not there"),
    ("trade's price", lambda e: of_key(e, 2)["body"]["trades"][0].update(price="99"), "acknowledged was 0.4 at 99"),
    ("sent", lambda e: e[1]["body"].update(side="buy"), "side is sell, sent was buy"),
    ("key", lambda e: [event.update(key=f"{RUN}-9") for event in e[1:3]], "is not there"),
    ("never sent", lambda e: e.__delitem__(slice(1, 3)), "which was never sent"),
    ("refused", lambda e: of_key(e, 1).update(status=409), "was refused with 409 and is there"),
    ("not cancelled", lambda e: e[-2].update(path=e[-2]["path"][:-1] + "9999"), "the order is not there"),
    ("filled", lambda e: e[-1].update(status=409), "was said to be filled and is cancelled"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_is_not_as_acknowledged_is_found(
    recorded: list[Event], change: Callable[[list[Event]], object], message: str
) -> None:
    change(recorded)
    problems = verify(recorded).problems
    assert any(message in problem for problem in problems), problems


def test_an_order_of_no_load_is_found(recorded: list[Event]) -> None:
    load1 = User.objects.get(username="load1")
    place_order(load1, OrderRequest("BTC-USDC", Order.Side.SELL, Decimal(1), Decimal(300)), "elsewhere")
    assert ["elsewhere of no load" in problem for problem in verify(recorded).problems] == [True]


def test_what_nobody_knows_may_be_there_or_not(recorded: list[Event]) -> None:
    for number in (1, 2):
        event = of_key(recorded, number)
        event["event"] = "failed"
    recorded += [attempt(7, "load1", {"market": "BTC-USDC"}), attempt(8, "load1", {}), answer_refused(8)]
    verdict = verify(recorded)
    assert verdict.problems == []
    assert verdict.counts["unknown"] == 3
    assert verdict.counts["unknown and there"] == 2
    # Refused, but after a try that may have come late: both are possible.
    place_order(
        User.objects.get(username="load1"),
        OrderRequest("BTC-USDC", Order.Side.SELL, Decimal(1), Decimal(300)),
        f"{RUN}-8",
    )
    recorded[-2]["body"] = {"market": "BTC-USDC", "side": "sell", "quantity": "1", "price": "300"}
    assert verify(recorded).problems
    recorded.insert(-1, {"event": "failed", "key": f"{RUN}-8", "number": 1})
    assert verify(recorded).problems == []


def answer_refused(number: int) -> Event:
    """Return the event of a refusal."""
    return {"event": "answered", "key": f"{RUN}-{number}", "kind": "order", "number": 2, "status": 409, "body": {}}


def test_record_without_a_start_is_none() -> None:
    with pytest.raises(RecordError):
        verify([])


def test_a_line_that_was_cut_off_ends_the_record(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_text('{"event": "start"}\n{"event": "tr')
    assert [event["event"] for event in read(path)] == ["start"]
    path.write_text('{"event": "tr\n{"event": "start"}\n')
    with pytest.raises(ValueError, match="line 1 is not JSON"):
        list(read(path))


# --- Traders -----------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_traders_are_made_once_with_money_and_a_token(tmp_path: Path) -> None:
    first = prepare(3)
    second = prepare(3)
    assert User.objects.count() == 3
    assert not any(user.has_usable_password() for user in User.objects.all())
    assert {trader.username for trader in first} == {"load1", "load2", "load3"}
    for trader in (*first, *second):
        token = find(trader.token)
        assert token is not None
        assert (token.owner.username, token.scope) == (trader.username, ApiToken.Scope.TRADE)
    assert violations() == []
    save(first, tmp_path / "tokens")
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    assert load(tmp_path / "tokens") == first


@pytest.mark.django_db
def test_keeps_away_from_customers(make_user: Callable[[str], User], tmp_path: Path) -> None:
    make_user("alice")
    with pytest.raises(CommandError, match="1 customers who aren't made up"):
        call_command("trade_load", "prepare", "--tokens", str(tmp_path / "tokens"))
    assert User.objects.count() == 1
    make_user("load1")
    with pytest.raises(CustomersError, match="the name load1 belongs to a customer"):
        prepare(1)


def test_percentiles() -> None:
    assert percentiles_ms([]) == {}
    assert percentiles_ms([number / 1000 for number in range(1, 101)]) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert percentiles_ms([0.5]) == {"p50": 500, "p95": 500, "p99": 500, "max": 500}


BAD = [
    (["run"], "--base-url"),
    (["run", "--base-url", "exchange.example.com"], "is not an address such as"),
    (["run", "--base-url", "https://user@example.com"], "is not an address such as"),
    (["run", "--base-url", "http://x:99999"], "is not an address such as"),
    (["run", "--base-url", "http://x", "--traders", "0"], "'0' is not a whole number from 1 to 256"),
    (["run", "--base-url", "http://x", "--rate", "0"], "'0' is not a number from 0.1"),
    (["run", "--base-url", "http://x", "--header", "Host"], "is not a header such as"),
    (["run", "--base-url", "http://x", "--ca-file", "/nowhere"], "--base-url isn't https"),
    (["run", "--base-url", "https://x", "--ca-file", "/nowhere"], "/nowhere can't be used: No such file"),
    (["run", "--base-url", "http://x", "--tokens", "/nowhere"], "/nowhere can't be read: No such file"),
    (["verify", "--record", "/nowhere"], "/nowhere can't be read: No such file"),
    (["fly"], "invalid choice: 'fly'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("trade_load", *arguments)


# --- All of it ---------------------------------------------------------------------------------------------------------
def test_from_end_to_end(served_database: dict[str, str], tmp_path: Path) -> None:
    tokens, record, summary = (str(tmp_path / name) for name in ("tokens", "record", "summary"))
    # Other tests have made customers in the database that they share.
    into = ["--into", served_database["DATABASE_NAME"]]
    assert manage(served_database, "trade_load", "prepare", "--tokens", tokens, "--traders", "4", *into).returncode == 0
    with Gunicorn(served_database | {"LOG_LEVEL": "WARNING"}) as server:
        address = f"http://127.0.0.1:{server.port}"
        options = ["--tokens", tokens, "--orders", "60", "--record", record, "--summary", summary, "--progress"]
        done = manage(served_database, "trade_load", "run", "--base-url", address, *options)
        assert done.returncode == 0, done.stderr
        again = manage(served_database, "trade_load", "run", "--base-url", address, *options)
        assert "exists; each load has a record of its own" in again.stderr
    seen = json.loads(Path(summary).read_text())
    assert seen["orders_acknowledged"] + sum(seen["refused"].values()) >= 60
    assert seen["trades"] > 0
    assert json.loads(done.stdout.splitlines()[-1]) == seen
    checked = manage(served_database, "trade_load", "verify", "--record", record, "--json")
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["counts"]["acknowledged"] == seen["orders_acknowledged"]
    kinds = Counter(event["event"] for event in read(Path(record)))
    assert (kinds["start"], kinds["end"]) == (1, 1)
    # One acknowledged order too many must be noticed.
    Path(record).write_text(Path(record).read_text().replace('-1"', '-999999"'))
    checked = manage(served_database, "trade_load", "verify", "--record", record)
    assert checked.returncode == 1
    assert "is not there" in checked.stdout
    assert manage(served_database, "check_books").returncode == 0
