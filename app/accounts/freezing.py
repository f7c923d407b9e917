"""Stopping an account from moving money."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from accounts.notices import notify
from ledger.errors import AccountFrozen


def freeze(user_id: int, reason: str) -> None:
    """Freeze an account. Orders and withdrawals of its owner that are being taken right now are waited for."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if user.frozen_at is None:
            notify(user, "account_frozen")
        user.frozen_at, user.frozen_reason = user.frozen_at or timezone.now(), reason
        user.save(update_fields=["frozen_at", "frozen_reason"])


def unfreeze(user_id: int) -> None:
    """Let an account move money again."""
    User.objects.filter(pk=user_id).update(frozen_at=None, frozen_reason="")


def check_not_frozen(user: User) -> datetime:
    """Return the database's time if the account isn't frozen; it can't be before this transaction ends.

    Raises:
        AccountFrozen: it is.
    """
    with connection.cursor() as cursor:
        # This lock conflicts with freeze's alone, not with a login's update of the same row.
        cursor.execute(
            "SELECT frozen_at IS NOT NULL, clock_timestamp() FROM accounts_user WHERE id = %s FOR KEY SHARE", [user.pk]
        )
        frozen, now = cursor.fetchone()
    if frozen:
        raise AccountFrozen("This account is frozen. Please write to support.")
    return cast("datetime", now)
