"""Mails to customers: what happened to their money and their account, and nothing else."""

from __future__ import annotations

from decimal import Decimal

import pytest
from allauth.account.models import EmailAddress
from django.core import mail

from accounts.freezing import freeze, unfreeze
from accounts.models import User
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, reject_transfer, request_deposit, request_withdrawal


@pytest.fixture
def reachable(user: User, eur: Asset) -> User:
    """Return a customer with 1,000 EUR and a mail address that is known to be theirs."""
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    confirm_transfer(request_deposit(user, eur, Decimal(1000), "deposit").pk)
    return user


def test_withdrawals_and_freezing_are_told_once(reachable: User, eur: Asset) -> None:
    paid = request_withdrawal(reachable, eur, Decimal("12.50"), "Alice & Sons <DE00>", "paid")
    refused = request_withdrawal(reachable, eur, Decimal(7), "DE01", "refused")
    assert mail.outbox == []
    for _ in range(2):
        confirm_transfer(paid.pk)
        reject_transfer(refused.pk)
        freeze(reachable.pk, "asked for")
    assert [message.subject for message in mail.outbox] == [
        "Your withdrawal of 12.50 EUR is on its way",
        "Your withdrawal of 7.00 EUR was rejected",
        "Your account is frozen",
    ]
    assert {tuple(message.to) for message in mail.outbox} == {("alice@example.com",)}
    assert "Alice & Sons <DE00>" in str(mail.outbox[0].body)
    assert "asked for" not in str(mail.outbox[2].body), "the reason is for support's eyes"
    unfreeze(reachable.pk)
    freeze(reachable.pk, "again")
    assert len(mail.outbox) == 4


@pytest.mark.parametrize("change", [{"verified": False}, {"primary": False}])
def test_nothing_goes_to_an_address_that_may_be_a_strangers(reachable: User, change: dict[str, bool]) -> None:
    EmailAddress.objects.filter(user=reachable).update(**change)
    freeze(reachable.pk, "asked for")
    assert mail.outbox == []
