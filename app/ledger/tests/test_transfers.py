from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import User
from ledger.checks import INVARIANTS, violations
from ledger.errors import AmountError, IdempotencyConflict, InsufficientFunds, TransferDecided
from ledger.models import Account, Asset, Hold, Movement, Posting, Transfer
from ledger.services.accounts import customer_accounts, house_account
from ledger.services.holds import place_hold, release_hold
from ledger.services.movements import Line, post
from ledger.services.transfers import confirm_transfer, reject_transfer, request_deposit, request_withdrawal


def owned(user: User, asset: Asset) -> tuple[object, object]:
    """Return what is available and what is held."""
    accounts = customer_accounts(user, asset)
    return accounts.available.balance, accounts.held.balance


@pytest.fixture(autouse=True)
def books_balance_afterwards(db: None) -> object:
    """Check every invariant after each test."""
    del db
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert violations(INVARIANTS) == []


def test_new_customer_owns_nothing(user: User, eur: Asset) -> None:
    assert not Account.objects.filter(owner=user).exists()
    assert owned(user, eur) == (0, 0)


def test_deposit_is_credited_when_confirmed(user: User, eur: Asset) -> None:
    transfer = request_deposit(user, eur, Decimal("12.34"), "key-1")
    assert transfer.state == Transfer.State.PENDING
    assert owned(user, eur) == (0, 0)
    confirmed = confirm_transfer(transfer.pk)
    assert confirmed.state == Transfer.State.CONFIRMED
    assert confirmed.decided_at is not None
    assert owned(user, eur) == (Decimal("12.34"), 0)
    rail = house_account(eur, Account.Kind.RAIL)
    assert [p.amount for p in Posting.objects.filter(account=rail)] == [Decimal("-12.34")]


def test_rejected_deposit_changes_nothing(user: User, eur: Asset) -> None:
    transfer = request_deposit(user, eur, Decimal(5), "key-1")
    assert reject_transfer(transfer.pk).state == Transfer.State.REJECTED
    assert owned(user, eur) == (0, 0)
    assert not Movement.objects.exists()


@pytest.mark.parametrize(("decide", "left"), [(confirm_transfer, 60), (reject_transfer, 100)])
def test_withdrawal_is_held_then_decided(user: User, eur: Asset, decide: Callable[..., Transfer], left: int) -> None:
    confirm_transfer(request_deposit(user, eur, Decimal(100), "key-1").pk)
    transfer = request_withdrawal(user, eur, Decimal(40), "IBAN", "key-2")
    assert owned(user, eur) == (60, 40)
    decide(transfer.pk)
    assert owned(user, eur) == (left, 0)
    decide(transfer.pk)
    assert owned(user, eur) == (left, 0)


@pytest.mark.parametrize(("first", "then"), [(confirm_transfer, reject_transfer), (reject_transfer, confirm_transfer)])
def test_transfer_is_decided_once(
    user: User, eur: Asset, first: Callable[..., Transfer], then: Callable[..., Transfer]
) -> None:
    transfer = request_deposit(user, eur, Decimal(5), "key-1")
    first(transfer.pk)
    before = owned(user, eur)
    with pytest.raises(TransferDecided, match="has been"):
        then(transfer.pk)
    assert owned(user, eur) == before


def test_more_than_available_is_refused_and_nothing_changes(user: User, eur: Asset) -> None:
    confirm_transfer(request_deposit(user, eur, Decimal(100), "key-1").pk)
    with pytest.raises(InsufficientFunds):
        request_withdrawal(user, eur, Decimal("100.01"), "IBAN", "key-2")
    assert owned(user, eur) == (100, 0)
    assert not Hold.objects.exists()
    assert Transfer.objects.count() == 1


def test_same_request_again_gets_the_first_answer(user: User, eur: Asset) -> None:
    confirm_transfer(request_deposit(user, eur, Decimal(50), "key-1").pk)
    first = request_withdrawal(user, eur, Decimal(50), "IBAN", "key-2")
    assert request_withdrawal(user, eur, Decimal("50.00"), "IBAN", "key-2") == first
    assert owned(user, eur) == (0, 50)


@pytest.mark.parametrize("amount", ["49", "50.01"])
def test_key_used_for_something_else_is_refused(user: User, eur: Asset, amount: str) -> None:
    request_deposit(user, eur, Decimal(50), "key-1")
    with pytest.raises(IdempotencyConflict):
        request_deposit(user, eur, Decimal(amount), "key-1")
    with pytest.raises(IdempotencyConflict):
        request_withdrawal(user, eur, Decimal(50), "IBAN", "key-1")


def test_keys_of_two_customers_do_not_meet(user: User, make_user: Callable[[str], User], eur: Asset) -> None:
    first = request_deposit(user, eur, Decimal(50), "key-1")
    assert request_deposit(make_user("bob"), eur, Decimal(7), "key-1") != first


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity", "1000000000000.01"])
def test_services_check_amounts_themselves(user: User, eur: Asset, amount: str) -> None:
    with pytest.raises(AmountError):
        request_deposit(user, eur, Decimal(amount), "key-1")


def test_hold_is_given_back_in_parts(user: User, btc: Asset) -> None:
    confirm_transfer(request_deposit(user, btc, Decimal(2), "key-1").pk)
    hold = place_hold(user, btc, Decimal("1.5"), Hold.Purpose.WITHDRAWAL)
    assert hold.remaining == Decimal("1.5")
    release_hold(hold, Decimal("0.5"), "release-1")
    release_hold(hold, Decimal("0.5"), "release-1")
    assert owned(user, btc) == (1, 1)
    with pytest.raises(InsufficientFunds):
        release_hold(hold, Decimal("1.00000001"), "release-2")
    with pytest.raises(IdempotencyConflict):
        release_hold(hold, Decimal("0.25"), "release-1")
    release_hold(hold, Decimal(1), "release-3")
    assert owned(user, btc) == (2, 0)


def test_one_hold_cannot_spend_another(user: User, btc: Asset) -> None:
    confirm_transfer(request_deposit(user, btc, Decimal(2), "key-1").pk)
    small = place_hold(user, btc, Decimal("0.5"), Hold.Purpose.WITHDRAWAL)
    place_hold(user, btc, Decimal("1.5"), Hold.Purpose.WITHDRAWAL)
    with pytest.raises(InsufficientFunds):
        release_hold(small, Decimal(1), "release-1")
    assert owned(user, btc) == (0, 2)


def test_movement_again_finds_the_first(user: User, eur: Asset) -> None:
    rail, available = house_account(eur, Account.Kind.RAIL), customer_accounts(user, eur).available
    lines = [Line(rail, Decimal(-1)), Line(available, Decimal(1))]
    hold_lines = [Line(available, Decimal(-1)), Line(rail, Decimal(1))]
    first = post(Movement.Kind.TRADE, "trade-1", lines)
    assert post(Movement.Kind.TRADE, "trade-1", lines) == first
    with pytest.raises(IdempotencyConflict):
        post(Movement.Kind.TRADE, "trade-1", hold_lines)
    assert owned(user, eur) == (1, 0)
