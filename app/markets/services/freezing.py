"""What support does to an account: stop it, and let it go on."""

from __future__ import annotations

import structlog

from accounts.freezing import freeze
from accounts.models import User
from ledger.errors import LedgerError
from markets.models import Order
from markets.services.orders import cancel_order

log = structlog.get_logger(__name__)


def freeze_account(user: User, reason: str) -> int:
    """Freeze an account and take its orders out of the book; return how many. Interrupted, it can be done again."""
    freeze(user.pk, reason)
    cancelled = 0
    for order_id in Order.objects.filter(user=user, status="open").values_list("pk", flat=True):
        try:
            cancel_order(user, order_id, Order.Reason.FROZEN)
        except LedgerError:
            continue  # filled a moment ago
        cancelled += 1
    log.info("account frozen", frozen_user_id=user.pk, cancelled_orders=cancelled)
    return cancelled
