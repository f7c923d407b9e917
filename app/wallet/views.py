"""The wallet's pages."""

from __future__ import annotations

import uuid
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.customers import customer, customer_required
from ledger.errors import LedgerError
from ledger.models import Transfer
from ledger.services.transfers import confirm_transfer, reject_transfer, request_deposit, request_withdrawal
from markets.models import Order
from markets.queries import orders
from wallet.exports import csv_response
from wallet.forms import DepositForm, WithdrawalForm
from wallet.history import HISTORIES, page_of
from wallet.queries import balances, movements

LATEST: Final = 8
OPEN_ORDERS: Final = 10
MAX_ID: Final = 2**63 - 1
DECISIONS: Final = {"confirm": confirm_transfer, "reject": reject_transfer}


@customer_required
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show balances, open orders, pending transfers and the latest activity."""
    user = customer(request)
    pending = Transfer.objects.filter(user=user, state=Transfer.State.PENDING).select_related("asset")
    context = {
        "balances": balances(user),
        "orders": orders(user, status=Order.Status.OPEN, limit=OPEN_ORDERS),
        "pending": pending[:20],
        "latest": movements(user, None, LATEST),
    }
    return render(request, "wallet/dashboard.html", context)


@customer_required
@require_http_methods(["GET", "POST"])
def deposit(request: HttpRequest) -> HttpResponse:
    """Announce a deposit."""
    form = DepositForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            request_deposit(customer(request), data["asset"], form.parsed_amount, data["idempotency_key"])
        except LedgerError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Deposit announced. It is credited once it is confirmed.")
            return redirect("wallet:dashboard")
    return render(request, "wallet/deposit.html", {"form": form}, status=400 if form.errors else 200)


@customer_required
@require_http_methods(["GET", "POST"])
def withdraw(request: HttpRequest) -> HttpResponse:
    """Ask for a withdrawal."""
    user = customer(request)
    form = WithdrawalForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            request_withdrawal(user, data["asset"], form.parsed_amount, data["destination"], data["idempotency_key"])
        except LedgerError as error:
            form.add_error("amount", str(error))
        else:
            messages.success(request, "Withdrawal requested. The amount is held until it is confirmed.")
            return redirect("wallet:dashboard")
    context = {"form": form, "balances": balances(user)}
    return render(request, "wallet/withdraw.html", context, status=400 if form.errors else 200)


@customer_required
@require_POST
def decide(request: HttpRequest, transfer_id: uuid.UUID, decision: str) -> HttpResponse:
    """Play the rail: confirm or reject one's own transfer, where rails are simulated."""
    if not settings.SIMULATED_RAILS or decision not in DECISIONS:
        raise Http404
    transfer = get_object_or_404(Transfer, pk=transfer_id, user=customer(request))
    try:
        decided = DECISIONS[decision](transfer.pk)
    except LedgerError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{decided.get_direction_display()} {decided.state}.")
    return redirect("wallet:dashboard")


@customer_required
@require_GET
def history(request: HttpRequest, what: str = "movements") -> HttpResponse:
    """Show the customer's movements, orders or trades, newest first, page by page."""
    if what not in HISTORIES:
        raise Http404
    text = request.GET.get("before", "")
    valid = text.isascii() and text.isdigit() and len(text) < len(str(MAX_ID))
    before = int(text) if valid else None
    page, next_before = page_of(customer(request), what, before)
    context = {
        "rows": page,
        "what": what,
        "tabs": list(HISTORIES),
        "table": f"wallet/_{what}.html",
        "next_before": next_before,
        "first_page": before is None,
    }
    return render(request, "wallet/history.html", context)


@customer_required
@require_GET
def export(request: HttpRequest, what: str) -> StreamingHttpResponse:
    """Send all of the customer's movements, orders or trades as CSV."""
    if what not in HISTORIES:
        raise Http404
    return csv_response(customer(request), what)
