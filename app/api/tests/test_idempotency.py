"""The same request sent again acts once and gets the first one's answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.idempotency import forget_old_answers
from api.models import StoredAnswer
from api.tests.conftest import Program, problem
from ledger.batch import Batch
from ledger.models import Transfer
from markets.models import Order

KEY = "key-12345"
ORDER = {"market": "BTC-USDC", "side": "sell", "quantity": "1", "price": "50000"}
DEPOSIT = {"asset": "BTC", "amount": "1"}
WITHDRAWAL = {"asset": "BTC", "amount": "4", "destination": "bc1q0000"}
REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("/orders", ORDER),
    ("/deposits", DEPOSIT),
    ("/withdrawals", WITHDRAWAL),
]


def counts() -> tuple[int, int]:
    """Return how many orders and transfers there are."""
    return Order.objects.count(), Transfer.objects.count()


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_replay(alice: Program, path: str, body: dict[str, str]) -> None:
    first = alice.post(path, body, key=KEY)
    after_first = counts()
    assert "Idempotency-Replayed" not in first.headers
    # The order of the fields and what is null make no difference.
    again = dict(reversed(body.items())) | ({"price": body["price"]} if "price" in body else {})
    for _ in range(2):
        replayed = alice.post(path, again, key=KEY)
        assert (replayed.status_code, replayed.content) == (201, first.content)
        assert replayed.headers["Idempotency-Replayed"] == "true"
        assert replayed.headers["Content-Type"] == first.headers["Content-Type"]
    assert counts() == after_first


def test_replay_is_the_first_answer_not_the_present(alice: Program) -> None:
    first = alice.post("/orders", ORDER, key=KEY)
    alice.delete(f"/orders/{first.json()['id']}")
    assert alice.post("/orders", ORDER, key=KEY).content == first.content
    assert alice.get(f"/orders/{first.json()['id']}").json()["status"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/orders", ORDER | {"quantity": "2"}),
        ("/orders", {name: value for name, value in ORDER.items() if name != "price"}),
        ("/orders", ORDER | {"market": "ETH-USDC"}),
        ("/deposits", DEPOSIT),
    ],
)
def test_key_of_another_request(alice: Program, path: str, body: dict[str, str]) -> None:
    alice.post("/orders", ORDER, key=KEY)
    before = counts()
    problem(alice.post(path, body, key=KEY), 422, "idempotency-conflict")
    assert counts() == before


def test_keys_belong_to_their_owners(alice: Program, bob: Program) -> None:
    first, second = alice.post("/orders", ORDER, key=KEY), bob.post("/orders", ORDER, key=KEY)
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.parametrize(("path", "body"), REQUESTS)
@pytest.mark.parametrize(
    "key", [None, "", "short", "x" * 101, "'; DROP TABLE", "key 12345", "schlüssel", "key-12345\n"]
)
def test_bad_key(alice: Program, path: str, body: dict[str, str], key: str | None) -> None:
    before = counts()
    headers = {"Authorization": f"Bearer {alice.token}"} | ({} if key is None else {"Idempotency-Key": key})
    response = alice.client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers)
    details = problem(response, 400, "invalid-idempotency-key")
    assert [error["field"] for error in details["errors"]] == ["Idempotency-Key"]
    assert counts() == before


def test_refusals_are_not_kept(alice: Program) -> None:
    large = WITHDRAWAL | {"amount": "10.5"}
    problem(alice.post("/withdrawals", large, key=KEY), 409, "insufficient-funds")
    assert not StoredAnswer.objects.exists()
    deposit = alice.post("/deposits", DEPOSIT).json()
    alice.post(f"/transfers/{deposit['id']}/confirm")
    assert alice.post("/withdrawals", large, key=KEY).status_code == 201


def test_answer_and_work_are_one_transaction(alice: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_values: object) -> None:
        raise IntegrityError

    monkeypatch.setattr("api.idempotency._keep", fail)
    alice.client.raise_request_exception = False
    problem(alice.post("/orders", ORDER, key=KEY), 500, "internal-error")
    monkeypatch.undo()
    assert alice.owns("BTC") == ("10", "0")
    assert not Order.objects.exists()
    assert alice.post("/orders", ORDER, key=KEY).status_code == 201


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_orders_and_transfers_know_their_keys_when_answers_are_forgotten(
    alice: Program, path: str, body: dict[str, str]
) -> None:
    first = alice.post(path, body, key=KEY).json()
    recent = alice.post("/deposits", DEPOSIT, key="recent-12345").json()
    StoredAnswer.objects.filter(key=KEY).update(created_at=timezone.now() - timedelta(days=8))
    assert forget_old_answers(7) == 1
    assert forget_old_answers(7) == 0
    before = counts()
    assert alice.post(path, body, key=KEY).json() == first
    assert counts() == before
    StoredAnswer.objects.filter(key=KEY).delete()
    other = {"quantity": "2"} if path == "/orders" else {"amount": "2"}
    problem(alice.post(path, body | other, key=KEY), 422, "idempotency-conflict")
    assert alice.post("/deposits", DEPOSIT, key="recent-12345").json() == recent


def test_many_answers_are_forgotten_in_portions(alice: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.idempotency.FORGOTTEN_AT_ONCE", 2)
    for number in range(5):
        alice.post("/deposits", DEPOSIT, key=f"key-1234{number}")
    assert forget_old_answers(-1) == 5


def test_an_order_takes_few_round_trips(alice: Program, bob: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    trips: list[str] = []
    run = Batch.run

    def counted(batch: Batch) -> Any:
        trips.append("batch")
        return run(batch)

    monkeypatch.setattr(Batch, "run", counted)
    for program, body in ((alice, ORDER), (bob, ORDER | {"side": "buy", "quantity": "0.1"})):
        program.get("/balances")  # so that the token's use is noted
        trips.clear()
        with CaptureQueriesContext(connection) as captured:
            assert program.post("/orders", body).status_code == 201
        trips += [query["sql"] for query in captured.captured_queries]
        # The token, the key and its answer, what the order meets, what it changes, the answer; and the two savepoints
        # that stand for a transaction here.
        assert len(trips) <= 5 + 2, "\n".join(trips)
        assert sum("SAVEPOINT" in trip for trip in trips) == 2
    assert bob.get("/orders").json()["items"][0]["status"] == "filled"
