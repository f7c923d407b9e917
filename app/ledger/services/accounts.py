"""Finding accounts, and opening a customer's when they are first needed."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.models import User
from ledger.models import Account, Asset


@dataclass(frozen=True)
class CustomerAccounts:
    """A customer's two accounts in one asset."""

    available: Account
    held: Account


def customer_accounts(user: User, asset: Asset) -> CustomerAccounts:
    """Return the customer's accounts in an asset; they are opened, at zero, if there are none."""
    kinds = Account.CUSTOMER_KINDS
    found = {account.kind: account for account in Account.objects.filter(owner=user, asset=asset)}
    if len(found) < len(kinds):
        Account.objects.bulk_create(
            [Account(owner=user, asset=asset, kind=kind, balance=0) for kind in kinds], ignore_conflicts=True
        )
        found = {account.kind: account for account in Account.objects.filter(owner=user, asset=asset)}
    return CustomerAccounts(found[Account.Kind.AVAILABLE], found[Account.Kind.HELD])


def house_account(asset: Asset, kind: Account.Kind) -> Account:
    """Return the house's account of a kind in an asset."""
    return Account.objects.get(owner=None, asset=asset, kind=kind)
