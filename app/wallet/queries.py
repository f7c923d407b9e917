"""What the pages show, read with a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet

from accounts.models import User
from ledger.models import Account, Asset, Movement, Posting


@dataclass(frozen=True)
class Balance:
    """What a customer owns of an asset."""

    asset: Asset
    available: Decimal
    held: Decimal

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.available + self.held


def balances(user: User) -> list[Balance]:
    """Return the customer's balance in every asset, zero where there is no account."""
    accounts = Account.objects.filter(owner=user).values_list("asset_id", "kind", "balance")
    amounts = {(asset, kind): balance for asset, kind, balance in accounts if balance is not None}
    zero = Decimal(0)
    return [
        Balance(
            asset,
            amounts.get((asset.pk, Account.Kind.AVAILABLE), zero),
            amounts.get((asset.pk, Account.Kind.HELD), zero),
        )
        for asset in Asset.objects.all()
    ]


def postings(user: User) -> QuerySet[Posting]:
    """Return all postings on the customer's accounts, newest first; those of one account sum up to its balance."""
    found = Posting.objects.filter(account__owner=user).select_related("movement", "asset", "account")
    return found.order_by("-pk")


def movements(user: User) -> QuerySet[Posting]:
    """Return the postings that a person wants to read, newest first.

    Of what moves between the customer's own two accounts, the available side is shown: the other mirrors it.
    """
    within = [Movement.Kind.HOLD, Movement.Kind.RELEASE]
    return postings(user).exclude(account__kind=Account.Kind.HELD, movement__kind__in=within)
