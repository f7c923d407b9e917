"""Stopping an account from moving money."""

from __future__ import annotations

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from accounts.notices import notify
from ledger.errors import AccountFrozen


def freeze(user_id: int, reason: str) -> None:
    """Freeze an account. Orders and withdrawals of its owner that are being taken right now are waited for.

    Not within a longer transaction: it would keep the customer's row while it waits for others, who may wait for it.
    """
    with transaction.atomic(durable=True):
        user = User.objects.select_for_update().get(pk=user_id)
        if user.frozen_at is None:
            notify(user, "account_frozen")
        user.frozen_at, user.frozen_reason = user.frozen_at or timezone.now(), reason
        user.save(update_fields=["frozen_at", "frozen_reason"])


def unfreeze(user_id: int) -> None:
    """Let an account move money again."""
    User.objects.filter(pk=user_id).update(frozen_at=None, frozen_reason="")


def check_not_frozen(user: User) -> None:
    """Raise AccountFrozen if the account is frozen; if not, it can't be before this transaction ends."""
    with connection.cursor() as cursor:
        # This lock conflicts with freeze's alone, not with a login's update of the same row.
        cursor.execute("SELECT frozen_at IS NOT NULL FROM accounts_user WHERE id = %s FOR KEY SHARE", [user.pk])
        (frozen,) = cursor.fetchone()
    refuse_if(frozen=frozen)


def refuse_if(*, frozen: bool) -> None:
    """Raise AccountFrozen if it is so."""
    if frozen:
        raise AccountFrozen("This account is frozen. Please write to support.")
