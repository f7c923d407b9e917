"""Deposits and withdrawals over simulated rails: asked for, then confirmed or rejected."""

from __future__ import annotations

import uuid
from decimal import Decimal

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts.freezing import check_not_frozen
from accounts.models import User
from accounts.notices import notify
from ledger.amounts import check_amount
from ledger.errors import IdempotencyConflict, TransferDecided
from ledger.models import Account, Asset, Hold, Movement, Transfer
from ledger.services.accounts import customer_accounts, house_account
from ledger.services.holds import place_hold, release_hold
from ledger.services.movements import Line, post

log = structlog.get_logger(__name__)


def request_deposit(user: User, asset: Asset, amount: Decimal, idempotency_key: str) -> Transfer:
    """Announce a deposit. Nothing is credited before the rail confirms it."""
    return _request(user, asset, amount, Transfer.Direction.DEPOSIT, "", idempotency_key)


def request_withdrawal(user: User, asset: Asset, amount: Decimal, destination: str, idempotency_key: str) -> Transfer:
    """Ask for a withdrawal. The amount is held until the rail confirms or rejects it.

    Raises:
        InsufficientFunds: less than that is available.
        AccountFrozen: support has frozen the account.
    """
    return _request(user, asset, amount, Transfer.Direction.WITHDRAWAL, destination, idempotency_key)


def _request(  # noqa: PLR0913, PLR0917 - what a request consists of
    user: User, asset: Asset, amount: Decimal, direction: Transfer.Direction, destination: str, idempotency_key: str
) -> Transfer:
    check_amount(amount, asset)
    wanted = (asset.pk, direction.value, amount, destination)
    with transaction.atomic():
        # The same request may come several times at once: one acts, the others wait here and find what it did.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"transfer:{user.pk}:{idempotency_key}"]
            )
        if before := Transfer.objects.filter(user=user, idempotency_key=idempotency_key).first():
            return _same(before, wanted)
        withdrawal = direction == Transfer.Direction.WITHDRAWAL
        if withdrawal:
            check_not_frozen(user)
        hold = place_hold(user, asset, amount, Hold.Purpose.WITHDRAWAL) if withdrawal else None
        transfer = Transfer.objects.create(
            user=user,
            asset=asset,
            direction=direction,
            amount=amount,
            destination=destination,
            hold=hold,
            idempotency_key=idempotency_key,
        )
    log.info("transfer requested", transfer_id=str(transfer.pk), direction=direction.value, asset=asset.pk)
    return transfer


def _same(transfer: Transfer, wanted: tuple[str, str, Decimal, str]) -> Transfer:
    if (transfer.asset_id, transfer.direction, transfer.amount, transfer.destination) != wanted:
        raise IdempotencyConflict("This request was sent before with other contents.")
    return transfer


@transaction.atomic
def confirm_transfer(transfer_id: uuid.UUID) -> Transfer:
    """Let the rail confirm a transfer: the money arrives, or is gone. Confirming twice does it once.

    Raises:
        TransferDecided: it has been rejected.
    """
    transfer = _lock(transfer_id)
    if not _is_undecided(transfer, Transfer.State.CONFIRMED):
        return transfer
    rail = house_account(transfer.asset, Account.Kind.RAIL)
    accounts = customer_accounts(transfer.user, transfer.asset)
    if transfer.hold is None:
        lines = [Line(rail, -transfer.amount), Line(accounts.available, transfer.amount)]
        post(Movement.Kind.DEPOSIT, f"transfer:{transfer.pk}", lines)
    else:
        lines = [Line(accounts.held, -transfer.amount, transfer.hold_id), Line(rail, transfer.amount)]
        post(Movement.Kind.WITHDRAWAL, f"transfer:{transfer.pk}", lines)
    return _decide(transfer, Transfer.State.CONFIRMED)


@transaction.atomic
def reject_transfer(transfer_id: uuid.UUID) -> Transfer:
    """Let the rail reject a transfer: what was held is given back. Rejecting twice does it once.

    Raises:
        TransferDecided: it has been confirmed.
    """
    transfer = _lock(transfer_id)
    if not _is_undecided(transfer, Transfer.State.REJECTED):
        return transfer
    if transfer.hold is not None:
        release_hold(transfer.hold, transfer.amount, f"transfer:{transfer.pk}")
    return _decide(transfer, Transfer.State.REJECTED)


def _lock(transfer_id: uuid.UUID) -> Transfer:
    locked = Transfer.objects.select_for_update(of=("self",))
    return locked.select_related("asset", "user", "hold").get(pk=transfer_id)


def _is_undecided(transfer: Transfer, wanted: Transfer.State) -> bool:
    if transfer.state == Transfer.State.PENDING:
        return True
    if transfer.state != wanted:
        raise TransferDecided(f"This transfer has been {transfer.state} already.")
    return False


def _decide(transfer: Transfer, state: Transfer.State) -> Transfer:
    transfer.state = state
    transfer.decided_at = timezone.now()
    transfer.save(update_fields=["state", "decided_at"])
    if transfer.direction == Transfer.Direction.WITHDRAWAL:
        notify(transfer.user, f"withdrawal_{state.value}", transfer=transfer)
    log.info("transfer decided", transfer_id=str(transfer.pk), state=state.value)
    return transfer
