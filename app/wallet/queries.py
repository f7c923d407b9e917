"""What the pages show, read with a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db import connection
from django.db.models import QuerySet

from accounts.models import User
from ledger.models import Account, Asset, Posting


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


def movements(user: User, before: int | None, limit: int) -> list[Posting]:
    """Return the latest postings that a person wants to read, those with an id below `before` if it is given.

    Of what moves between the customer's own two accounts, the available side is shown: the other mirrors it.
    """
    with connection.cursor() as cursor:
        # Account by account, each by its index. PostgreSQL would look for a quiet customer's among everybody's.
        cursor.execute(
            """
            SELECT p.id FROM ledger_account a CROSS JOIN LATERAL (
                SELECT p.id FROM ledger_posting p JOIN ledger_movement m ON m.id = p.movement_id
                WHERE p.account_id = a.id AND p.id < coalesce(%s, 9223372036854775807)
                    AND NOT (a.kind = 'held' AND m.kind IN ('hold', 'release'))
                ORDER BY p.id DESC LIMIT %s) p
            WHERE a.owner_id = %s ORDER BY p.id DESC LIMIT %s
            """,
            [before, limit, user.pk, limit],
        )
        ids = [pk for (pk,) in cursor.fetchall()]
    return list(Posting.objects.filter(pk__in=ids).select_related("movement", "asset", "account").order_by("-pk"))
