"""A customer's balances, deposits and withdrawals."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from ninja import Router

from accounts.models import User
from api.auth import FULL
from api.idempotency import IdempotencyKey, once
from api.paging import Cursor, Limit, bad_cursor, decode, encode
from api.problems import InvalidField, UnknownAsset, UnknownTransfer
from api.responses import problems
from api.routes.orders import customer
from api.schemas import BalanceOut, DepositIn, Page, TransferOut, WithdrawalIn
from ledger.amounts import parse_amount
from ledger.errors import AmountError
from ledger.models import Asset, Transfer
from ledger.services.transfers import confirm_transfer, reject_transfer, request_deposit, request_withdrawal
from wallet.queries import balances

router = Router(tags=["Wallet"])
MOVES_MONEY = problems(400, 401, 403, 404, 409, 413, 415, 422)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds since 1970 and the transfer's id.
POSITION: Final = re.compile(r"([0-9]{1,17})_([0-9a-f]{32})", re.ASCII)


@router.get(
    "/balances",
    response={200: Page[BalanceOut], **problems(401, 403)},
    operation_id="list_balances",
    url_name="balances",
    summary="List your balances",
)
def list_balances(request: HttpRequest) -> Page[BalanceOut]:
    """What you own of each asset, in one part."""
    items = [BalanceOut.of(balance) for balance in balances(customer(request))]
    return Page[BalanceOut](items=items, next_cursor=None)


@router.post(
    "/deposits",
    auth=FULL,
    response={201: TransferOut, **MOVES_MONEY},
    operation_id="announce_deposit",
    url_name="deposits",
    summary="Announce a deposit",
)
def announce_deposit(request: HttpRequest, payload: DepositIn, idempotency_key: IdempotencyKey) -> HttpResponse:
    """Announce a deposit. It is credited once it is confirmed."""
    user = customer(request)

    def ask() -> Transfer:
        asset, amount = read_amount(payload.asset, payload.amount)
        return request_deposit(user, asset, amount, idempotency_key)

    return once(request, user, idempotency_key, payload, lambda: written(ask))


@router.post(
    "/withdrawals",
    auth=FULL,
    response={201: TransferOut, **MOVES_MONEY},
    operation_id="request_withdrawal",
    url_name="withdrawals",
    summary="Ask for a withdrawal",
)
def ask_for_withdrawal(request: HttpRequest, payload: WithdrawalIn, idempotency_key: IdempotencyKey) -> HttpResponse:
    """Ask for a withdrawal. The amount is held until it is confirmed or rejected."""
    user = customer(request)

    def ask() -> Transfer:
        asset, amount = read_amount(payload.asset, payload.amount)
        return request_withdrawal(user, asset, amount, payload.destination, idempotency_key)

    return once(request, user, idempotency_key, payload, lambda: written(ask))


@router.get(
    "/transfers",
    response={200: Page[TransferOut], **problems(401, 403, 422)},
    operation_id="list_transfers",
    url_name="transfers",
    summary="List your deposits and withdrawals",
)
def list_transfers(request: HttpRequest, limit: Limit = 50, cursor: Cursor = None) -> Page[TransferOut]:
    """Your deposits and withdrawals, latest first."""
    found = Transfer.objects.filter(user=customer(request))
    if cursor is not None:
        found = found.filter(_after(cursor))
    part = list(found.order_by("-created_at", "-id")[: limit + 1])
    more = len(part) > limit
    return Page[TransferOut](
        items=[TransferOut.of(transfer) for transfer in part[:limit]],
        next_cursor=encode(_position(part[limit - 1])) if more else None,
    )


@router.get(
    "/transfers/{uuid:transfer_id}",
    response={200: TransferOut, **problems(401, 403, 404, 422)},
    operation_id="get_transfer",
    url_name="transfer",
    summary="Read a deposit or withdrawal",
)
def get_transfer(request: HttpRequest, transfer_id: uuid.UUID) -> TransferOut:
    """One of your deposits or withdrawals."""
    return TransferOut.of(own_transfer(customer(request), transfer_id))


@router.post(
    "/transfers/{uuid:transfer_id}/confirm",
    auth=FULL,
    response={200: TransferOut, **problems(401, 403, 404, 409, 422)},
    operation_id="confirm_transfer",
    url_name="confirm-transfer",
    summary="Confirm a transfer, where rails are simulated",
)
def confirm(request: HttpRequest, transfer_id: uuid.UUID) -> TransferOut:
    """Play the bank and confirm, where rails are simulated. Confirming again does nothing more."""
    return decide(request, transfer_id, confirm_transfer)


@router.post(
    "/transfers/{uuid:transfer_id}/reject",
    auth=FULL,
    response={200: TransferOut, **problems(401, 403, 404, 409, 422)},
    operation_id="reject_transfer",
    url_name="reject-transfer",
    summary="Reject a transfer, where rails are simulated",
)
def reject(request: HttpRequest, transfer_id: uuid.UUID) -> TransferOut:
    """Play the bank and reject, where rails are simulated. Rejecting again does nothing more."""
    return decide(request, transfer_id, reject_transfer)


def read_amount(code: str, text: str) -> tuple[Asset, Decimal]:
    """Return the asset, and the amount as one of it.

    Raises:
        UnknownAsset, InvalidField: as they say.
    """
    asset = Asset.objects.filter(pk=code).first()
    if asset is None:
        raise UnknownAsset("There is no such asset.")
    try:
        return asset, parse_amount(text, asset)
    except AmountError as error:
        raise InvalidField(str(error), "amount") from error


def written(ask: Callable[[], Transfer]) -> tuple[int, str]:
    """Make a transfer and return the answer to it."""
    return 201, TransferOut.of(ask()).model_dump_json()


def own_transfer(user: User, transfer_id: uuid.UUID) -> Transfer:
    """Return a customer's transfer.

    Raises:
        UnknownTransfer: there is none with this id, or it is somebody else's.
    """
    transfer = Transfer.objects.filter(pk=transfer_id, user=user).first()
    if transfer is None:
        raise UnknownTransfer("You have no such transfer.")
    return transfer


def decide(request: HttpRequest, transfer_id: uuid.UUID, decision: Callable[[uuid.UUID], Transfer]) -> TransferOut:
    """Confirm or reject a transfer of one's own."""
    if not settings.SIMULATED_RAILS:
        raise UnknownTransfer("Transfers are confirmed or rejected by the rails.")
    return TransferOut.of(decision(own_transfer(customer(request), transfer_id).pk))


def _position(transfer: Transfer) -> str:
    return f"{(transfer.created_at - EPOCH) // timedelta(microseconds=1)}_{transfer.pk.hex}"


def _after(cursor: str) -> Q:
    """Return the condition for what is older than the cursor's transfer."""
    found = POSITION.fullmatch(decode(cursor))
    if not found:
        raise bad_cursor()
    time = EPOCH + timedelta(microseconds=int(found[1]))
    # The first comparison is what the index serves.
    return Q(created_at__lte=time) & (Q(created_at__lt=time) | Q(pk__lt=uuid.UUID(found[2])))
