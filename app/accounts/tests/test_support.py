"""What support staff may do in the admin, and what they may not."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django.asserts import assertContains, assertNotContains

from accounts.models import User
from accounts.support import GROUP, make_group
from ledger.models import Asset, Transfer
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.models import Market, Order
from markets.services.orders import OrderRequest, cancel_order, place_order

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture
def support(make_user: Callable[[str], User]) -> Client:
    """Return a browser in which a member of the support group is logged in."""
    staff = make_user("sue")
    staff.is_staff = True
    staff.save()
    staff.groups.add(Group.objects.get(name=GROUP))
    client = Client()
    client.force_login(staff, backend=BACKEND)
    return client


@pytest.fixture
def order(user: User, eur: Asset) -> Order:
    """Return an order that waits, of a customer with a deposit."""
    del eur
    confirm_transfer(request_deposit(user, Asset.objects.get(pk="USDC"), Decimal(1000), "deposit").pk)
    return place_order(user, OrderRequest("BTC-USDC", Order.Side.BUY, Decimal(1), Decimal(900)), "look-me-up")


LISTS = ["accounts/user", "ledger/account", "ledger/asset", "ledger/movement", "ledger/transfer", "markets/market", "markets/order", "markets/trade"]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_everything_can_be_looked_at_and_nothing_added(support: Client, order: Order, path: str) -> None:
    del order
    assert support.get(f"/admin/{path}/").status_code == 200
    assert support.get(f"/admin/{path}/add/").status_code == 403


@pytest.mark.parametrize("query", ["alice", "alice@example.com", "look-me-up"])
def test_orders_are_found(support: Client, order: Order, query: str) -> None:
    assertContains(support.get(f"/admin/markets/order/?q={query}"), f"/admin/markets/order/{order.pk}/")
    assertNotContains(support.get(f"/admin/markets/order/?q={query}x"), f"/admin/markets/order/{order.pk}/")
    assert support.get(f"/admin/markets/order/{order.pk}/change/").status_code == 200


def test_nothing_can_be_changed(support: Client, order: Order) -> None:
    for path in (f"markets/order/{order.pk}", "markets/market/BTC-USDC", f"accounts/user/{order.user_id}"):
        assert support.post(f"/admin/{path}/change/", {"is_open": "", "status": "filled"}).status_code == 403
        assert support.post(f"/admin/{path}/delete/", {"post": "yes"}).status_code == 403
    assert Market.objects.get(pk="BTC-USDC").is_open


def test_freeze_and_unfreeze(support: Client, customer_client: Client, order: Order) -> None:
    page = f"/admin/accounts/user/{order.user_id}/freeze/"
    assertContains(support.get(f"/admin/accounts/user/{order.user_id}/change/"), page)
    assertContains(support.post(page, {"reason": ""}), "This field is required")
    assertContains(support.post(page, {"reason": "stolen phone"}, follow=True), "1 of its orders were cancelled")
    order.refresh_from_db()
    assert (order.status, order.reason, order.user.frozen_reason) == ("cancelled", "frozen", "stolen phone")
    answer = customer_client.post(
        "/wallet/withdraw/", {"asset": "USDC", "amount": "1", "destination": "IBAN", "idempotency_key": "withdraw-1"}
    )
    assertContains(answer, "This account is frozen", status_code=400)
    assert not Transfer.objects.filter(direction="withdrawal").exists()
    assertContains(support.post(page, follow=True), "no longer frozen")
    assert place_order(order.user, OrderRequest("BTC-USDC", Order.Side.BUY, Decimal(1), Decimal(900)), "again").pk


def test_others_may_not_freeze(customer_client: Client, user: User, order: Order) -> None:
    page = f"/admin/accounts/user/{order.user_id}/freeze/"
    assert customer_client.post(page, {"reason": "x"}).status_code == 302  # to the admin's login
    user.is_staff = True
    user.save()
    assert customer_client.post(page, {"reason": "x"}).status_code == 403
    user.refresh_from_db()
    assert user.frozen_at is None
    cancel_order(user, order.pk)


def test_the_group_is_left_as_it_was_changed(db: None) -> None:
    del db
    Group.objects.get(name=GROUP).permissions.clear()
    make_group()
    assert Group.objects.get(name=GROUP).permissions.count() == 0
