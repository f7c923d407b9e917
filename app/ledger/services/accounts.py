"""Finding accounts, and opening a customer's when they are first needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    return accounts_of(user, [asset.pk])[user.pk, asset.pk]


def accounts_of(
    user: User, assets: Collection[str], others: Collection[int] = ()
) -> Mapping[tuple[int, str], CustomerAccounts]:
    """Return accounts by owner's id and asset: the customer's, opened at zero if there are none, and what others have.

    Accounts are opened in the order of their assets, so that two requests of one customer can't deadlock over them.
    """
    wanted = {(user.pk, asset) for asset in assets}
    found = _find({user.pk, *others}, assets)
    if not wanted <= found.keys():
        Account.objects.bulk_create(
            [
                Account(owner=user, asset_id=asset, kind=kind, balance=0)
                for asset in sorted(assets)
                for kind in Account.CUSTOMER_KINDS
            ],
            ignore_conflicts=True,
        )
        found = _find({user.pk, *others}, assets)
    return found


def _find(owners: Collection[int], assets: Collection[str]) -> dict[tuple[int, str], CustomerAccounts]:
    accounts = {
        (account.owner_id, account.asset_id, account.kind): account
        for account in Account.objects.filter(owner_id__in=owners, asset_id__in=assets)
    }
    return {
        (owner, asset): CustomerAccounts(available, accounts[owner, asset, Account.Kind.HELD])
        for (owner, asset, kind), available in accounts.items()
        if owner is not None and kind == Account.Kind.AVAILABLE
    }


def house_account(asset: Asset, kind: Account.Kind) -> Account:
    """Return the house's account of a kind in an asset."""
    return Account.objects.get(owner=None, asset=asset, kind=kind)
