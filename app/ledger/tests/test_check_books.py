"""Books that were tampered with, past the guards, are found out."""

from __future__ import annotations

import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import User
from ledger.checks import ALL_INVARIANTS, INVARIANTS, violations
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, request_deposit, request_withdrawal

ZERO_SUM = "postings of a movement sum to zero per asset"
LINES = "a movement has as many postings as it says"
BALANCE = "a balance is the sum of the account's postings"
NEGATIVE = "no customer's balance is negative"
FINER = "no amount is finer than its asset"
HOLD = "what remains of a hold is the sum of its postings"
HELD = "a held balance is the sum of its holds"
WITHDRAWAL = "a withdrawal holds its amount while it is pending, and nothing after"
MOVED = "a transfer moved its amount if it was confirmed, and only then"
ORPHAN = "every deposit or withdrawal has its transfer"
GUARDS = "the database's guards are in place"

TAMPERED: list[tuple[str, set[str]]] = [
    ("UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'available'", {BALANCE}),
    ("UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'held'", {BALANCE, HELD}),
    ("UPDATE ledger_posting SET amount = amount + 1 WHERE line = 1 AND hold_id IS NULL AND amount < -50", {ZERO_SUM, MOVED}),
    ("DELETE FROM ledger_posting WHERE line = 2 AND hold_id IS NULL", {ZERO_SUM, LINES, BALANCE}),
    ("UPDATE ledger_posting SET amount = amount + sign(amount) * 0.001 WHERE hold_id IS NULL", {FINER, ZERO_SUM, MOVED}),
    ("UPDATE ledger_hold SET remaining = remaining - 1", {HOLD, HELD, WITHDRAWAL}),
    ("UPDATE ledger_transfer SET state = 'confirmed', decided_at = now()", {WITHDRAWAL, MOVED}),
    ("UPDATE ledger_transfer SET state = 'pending', decided_at = NULL", {MOVED, ORPHAN}),
    ("UPDATE ledger_transfer SET amount = amount + 1", {WITHDRAWAL, MOVED}),
    ("UPDATE ledger_movement SET key = 'transfer:other' WHERE kind = 'deposit'", {MOVED, ORPHAN}),
    ("ALTER TABLE ledger_posting DISABLE TRIGGER append_only", {GUARDS}),
    ("DROP TRIGGER balances ON ledger_movement", {GUARDS}),
    ("ALTER TABLE ledger_posting DROP CONSTRAINT posting_is_a_number", {GUARDS}),
    ("ALTER TABLE ledger_posting DROP CONSTRAINT posting_in_asset_of_account", {GUARDS}),
    (
        "ALTER TABLE ledger_account DROP CONSTRAINT account_not_overdrawn; UPDATE ledger_account SET balance = -1 WHERE kind = 'available'",
        {BALANCE, NEGATIVE, GUARDS},
    ),
]  # fmt: skip


@pytest.fixture
def books(user: User, eur: Asset) -> None:
    """Fill the books a little."""
    confirm_transfer(request_deposit(user, eur, Decimal(100), "key-1").pk)
    request_withdrawal(user, eur, Decimal(10), "IBAN", "key-2")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def test_clean_books(books: None, capsys: pytest.CaptureFixture[str]) -> None:
    del books
    assert violations() == []
    call_command("check_books")
    assert f"0 violations of {len(ALL_INVARIANTS)} invariants; " in capsys.readouterr().out


@pytest.mark.parametrize(("statement", "expected"), TAMPERED)
def test_tampering_is_found(books: None, statement: str, expected: set[str]) -> None:
    del books
    with connection.cursor() as cursor:
        # As a superuser who knows how to get past triggers.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert {violation.invariant for violation in violations()} == expected
    assert expected <= set(INVARIANTS)
    out = StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("check_books", "--json", stdout=out)
    assert stopped.value.code == 1
    assert {item["invariant"] for item in json.loads(out.getvalue())["violations"]} == expected
