"""Setting a part of a customer's balance aside, and giving it back."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from accounts.models import User
from ledger.models import Account, Asset, Hold, Movement
from ledger.services.accounts import customer_accounts
from ledger.services.movements import Line, post


@transaction.atomic
def place_hold(user: User, asset: Asset, amount: Decimal, purpose: Hold.Purpose) -> Hold:
    """Move an amount from available to held, and return the hold that says what for."""
    accounts = customer_accounts(user, asset)
    hold = Hold.objects.create(account=accounts.held, purpose=purpose)
    lines = [Line(accounts.available, -amount), Line(accounts.held, amount, hold.pk)]
    post(Movement.Kind.HOLD, f"hold:{hold.pk}", lines)
    hold.refresh_from_db()
    return hold


@transaction.atomic
def release_hold(hold: Hold, amount: Decimal, key: str) -> Movement:
    """Give an amount of a hold back to its owner; the key names the cause."""
    held = Account.objects.select_related("owner", "asset").get(pk=hold.account_id)
    available = Account.objects.get(owner=held.owner, asset=held.asset, kind=Account.Kind.AVAILABLE)
    return post(Movement.Kind.RELEASE, key, [Line(held, -amount, hold.pk), Line(available, amount)])
