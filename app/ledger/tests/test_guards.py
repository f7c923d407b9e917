"""What the database refuses, by whatever program it is asked: plain SQL here."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import User
from ledger.models import Account, Asset, Hold, Movement, Posting
from ledger.services.accounts import customer_accounts, house_account
from ledger.services.holds import place_hold
from ledger.services.transfers import confirm_transfer, request_deposit, request_withdrawal


@pytest.fixture
def books(user: User, btc: Asset, eur: Asset) -> dict[str, Any]:
    """Fill the books a little; return the ids that statements below name."""
    deposit = request_deposit(user, eur, Decimal(100), "deposit-1")
    confirm_transfer(deposit.pk)
    pending = request_withdrawal(user, eur, Decimal(10), "IBAN", "withdrawal-1")
    accounts = customer_accounts(user, eur)
    check_deferred()
    return {
        "deposit": deposit.pk,
        "pending": pending.pk,
        "hold": pending.hold_id,
        "movement": Movement.objects.get(kind="deposit").pk,
        "available": accounts.available.pk,
        "held": accounts.held.pk,
        "rail": house_account(eur, Account.Kind.RAIL).pk,
        "btc_rail": house_account(btc, Account.Kind.RAIL).pk,
        "btc_available": customer_accounts(user, btc).available.pk,
        "user": user.pk,
    }


def check_deferred() -> None:
    """Check now what would be checked at the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


REFUSED: list[tuple[str, str, str]] = [
    ("update a posting", "UPDATE ledger_posting SET amount = amount * 2", "postings are append-only"),
    ("delete a posting", "DELETE FROM ledger_posting", "postings are append-only"),
    ("update a movement", "UPDATE ledger_movement SET kind = 'trade'", "movements are append-only"),
    ("delete a movement", "DELETE FROM ledger_movement WHERE id = %(movement)s", "movements are append-only"),
    ("truncate everything", "TRUNCATE ledger_posting CASCADE", "postings are append-only"),
    ("truncate movements", "TRUNCATE ledger_movement CASCADE", "append-only"),
    ("delete an account", "DELETE FROM ledger_account WHERE id = %(available)s", "accounts are kept"),
    ("delete a hold", "DELETE FROM ledger_hold", "holds are kept"),
    ("delete a transfer", "DELETE FROM ledger_transfer", "transfers are kept"),
    ("delete an asset", "DELETE FROM ledger_asset", "assets are kept"),
    ("set a balance", "UPDATE ledger_account SET balance = 1000 WHERE id = %(available)s", "changes by postings alone"),
    ("give an account away", "UPDATE ledger_account SET owner_id = NULL WHERE id = %(available)s", "by postings alone"),
    ("open an account with money", "INSERT INTO ledger_account (asset_id, kind, owner_id, balance) VALUES ('ETH', 'available', %(user)s, 5)", "starts at zero"),
    ("open an account twice", "INSERT INTO ledger_account (asset_id, kind, owner_id, balance) VALUES ('EUR', 'available', %(user)s, 0)", "account_once"),
    ("open a house account twice", "INSERT INTO ledger_account (asset_id, kind) VALUES ('EUR', 'rail')", "account_once"),
    ("a house account with an owner", "INSERT INTO ledger_account (asset_id, kind, owner_id) VALUES ('EUR', 'fees', %(user)s)", "account_of_customer_or_house"),
    ("change a hold", "UPDATE ledger_hold SET remaining = 0", "changes by postings alone"),
    ("a hold on an available account", "INSERT INTO ledger_hold (id, account_id, purpose, remaining, created_at) VALUES (gen_random_uuid(), %(available)s, 'order', 0, now())", "needs a held account"),
    ("a hold from nothing", "INSERT INTO ledger_hold (id, account_id, purpose, remaining, created_at) VALUES (gen_random_uuid(), %(held)s, 'order', 5, now())", "starts at zero"),
    ("finer or coarser asset", "UPDATE ledger_asset SET decimals = 4 WHERE code = 'EUR'", "do not change"),
    ("decide a transfer again", "UPDATE ledger_transfer SET state = 'rejected' WHERE id = %(deposit)s", "changes its state once"),
    ("raise a pending transfer", "UPDATE ledger_transfer SET amount = 99, state = 'confirmed', decided_at = now() WHERE id = %(pending)s", "and nothing else"),
    ("a transfer that starts confirmed", "INSERT INTO ledger_transfer (id, user_id, asset_id, direction, amount, destination, state, idempotency_key, created_at, decided_at) VALUES (gen_random_uuid(), %(user)s, 'EUR', 'deposit', 5, '', 'confirmed', 'k', now(), now())", "is pending"),
    ("a transfer of NaN", "INSERT INTO ledger_transfer (id, user_id, asset_id, direction, amount, destination, state, idempotency_key, created_at) VALUES (gen_random_uuid(), %(user)s, 'EUR', 'deposit', 'NaN', '', 'pending', 'k', now())", "transfer_is_a_number"),
    ("a movement without postings", "INSERT INTO ledger_movement (kind, key, lines, created_at) VALUES ('deposit', 'x', 2, now())", "has 0 postings, not 2"),
    ("a movement of one line", "INSERT INTO ledger_movement (kind, key, lines, created_at) VALUES ('deposit', 'x', 1, now())", "movement_has_two_sides"),
    ("a line added later", "INSERT INTO ledger_posting (movement_id, line, account_id, asset_id, amount) VALUES (%(movement)s, 3, %(available)s, 'EUR', 1)", "complete with 2 lines"),
    ("a line written twice", "INSERT INTO ledger_posting (movement_id, line, account_id, asset_id, amount) VALUES (%(movement)s, 2, %(available)s, 'EUR', 1)", "posting_once"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_statement_is_refused(books: dict[str, Any], statement: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement, books)
        check_deferred()


# Lines of a movement: account, asset, amount, names the hold; and what the database says.
LINES: list[tuple[str, list[tuple[str, str, str, bool]], str]] = [
    ("does not sum to zero", [("rail", "EUR", "-5", False), ("available", "EUR", "6", False)], "does not sum to zero: EUR: 1"),
    ("zero over two assets", [("btc_rail", "BTC", "-5", False), ("available", "EUR", "5", False)], "does not sum to zero"),
    ("another asset than the account's", [("rail", "EUR", "-5", False), ("available", "BTC", "5", False)], "posting_in_asset_of_account|does not sum"),
    ("overdraws", [("available", "EUR", "-91", False), ("rail", "EUR", "91", False)], "account_not_overdrawn"),
    ("takes what is held for something", [("held", "EUR", "-5", False), ("rail", "EUR", "5", False)], "a hold goes with a held account"),
    ("names a hold without need", [("available", "EUR", "-5", True), ("rail", "EUR", "5", False)], "a hold goes with a held account|posting_on_account_of_hold"),
    ("takes more than is held", [("held", "EUR", "-11", True), ("rail", "EUR", "11", False)], "account_not_overdrawn|hold_not_overdrawn"),
    ("finer than the asset", [("rail", "EUR", "-0.001", False), ("available", "EUR", "0.001", False)], "EUR has 2 decimals"),
    ("moves nothing", [("rail", "EUR", "0", False), ("available", "EUR", "0", False)], "posting_moves_something"),
    ("is not a number", [("rail", "EUR", "NaN", False), ("available", "EUR", "NaN", False)], "posting_is_a_number"),
    ("is infinite", [("rail", "EUR", "-Infinity", False), ("available", "EUR", "Infinity", False)], "overflow"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "message"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_movement_is_refused(books: dict[str, Any], lines: list[tuple[str, str, str, bool]], message: str) -> None:
    before = list(Account.objects.order_by("pk").values_list("pk", "balance"))
    with pytest.raises(DatabaseError, match=message), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO ledger_movement (kind, key, lines, created_at) VALUES ('trade', 'x', %s, now()) RETURNING id",
                [len(lines)],
            )
            movement = cursor.fetchone()[0]
            for number, (account, asset, amount, with_hold) in enumerate(lines, start=1):
                cursor.execute(
                    "INSERT INTO ledger_posting (movement_id, line, account_id, asset_id, amount, hold_id)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    [movement, number, books[account], asset, amount, books["hold"] if with_hold else None],
                )
        check_deferred()
    assert list(Account.objects.order_by("pk").values_list("pk", "balance")) == before


def test_hold_of_one_asset_cannot_pay_another(user: User, btc: Asset, eur: Asset, books: dict[str, Any]) -> None:
    confirm_transfer(request_deposit(user, btc, Decimal(1), "deposit-2").pk)
    hold = place_hold(user, btc, Decimal(1), Hold.Purpose.WITHDRAWAL)
    with pytest.raises(DatabaseError, match="posting_on_account_of_hold"), transaction.atomic():
        movement = Movement.objects.create(kind=Movement.Kind.TRADE, key="x", lines=2)
        Posting.objects.bulk_create(
            [
                Posting(movement=movement, line=1, account_id=books["held"], asset=eur, amount=-1, hold=hold),
                Posting(movement=movement, line=2, account_id=books["rail"], asset=eur, amount=1),
            ]
        )
        check_deferred()


def test_movement_of_two_assets_is_taken(user: User, make_user: Callable[[str], User], btc: Asset, eur: Asset) -> None:
    other = make_user("bob")
    confirm_transfer(request_deposit(user, eur, Decimal(100), "deposit-1").pk)
    confirm_transfer(request_deposit(other, btc, Decimal(1), "deposit-1").pk)
    movement = Movement.objects.create(kind=Movement.Kind.TRADE, key="trade", lines=4)
    sides = [(user, eur, -100), (other, eur, 100), (other, btc, -1), (user, btc, 1)]
    Posting.objects.bulk_create(
        Posting(
            movement=movement, line=line, account=customer_accounts(who, asset).available, asset=asset, amount=amount
        )
        for line, (who, asset, amount) in enumerate(sides, start=1)
    )
    check_deferred()
    assert customer_accounts(user, btc).available.balance == 1
    assert customer_accounts(other, eur).available.balance == Decimal(100)
