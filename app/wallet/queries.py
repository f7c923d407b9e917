"""What the pages show, read with a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

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


def postings(user: User, before: int | None, limit: int) -> list[Posting]:
    """Return the latest postings on the customer's accounts, those with an id below `before` if it is given.

    Of what moves between the customer's own two accounts, the available side is shown: the other mirrors it.
    """
    found = Posting.objects.filter(account__owner=user).select_related("movement", "asset", "account")
    within = [Movement.Kind.HOLD, Movement.Kind.RELEASE]
    found = found.exclude(account__kind=Account.Kind.HELD, movement__kind__in=within)
    if before is not None:
        found = found.filter(pk__lt=before)
    return list(found.order_by("-pk")[:limit])
