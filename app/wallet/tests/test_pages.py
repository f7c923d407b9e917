from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client, override_settings
from pytest_django import DjangoAssertNumQueries
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from accounts.models import User
from ledger.models import Asset, Posting, Transfer
from ledger.services.accounts import customer_accounts
from ledger.services.transfers import confirm_transfer, request_deposit, request_withdrawal

PAGES = ["/wallet/", "/wallet/deposit/", "/wallet/withdraw/", "/wallet/history/"]
DEPOSIT = {"asset": "EUR", "amount": "100", "idempotency_key": "key-12345"}
WITHDRAWAL = {**DEPOSIT, "amount": "40", "destination": "DE00 1234", "idempotency_key": "key-67890"}


@pytest.fixture
def funded(user: User, eur: Asset) -> User:
    """Return a customer with 100 EUR."""
    confirm_transfer(request_deposit(user, eur, Decimal(100), "start").pk)
    return user


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PAGES, "/", "/accounts/2fa/", "/accounts/password/change/", "/admin/"])
def test_strangers_are_sent_to_the_login(client: Client, path: str) -> None:
    assert "/login/" in client.get(path, follow=True).redirect_chain[-1][0]


@pytest.mark.parametrize(
    "path", [*PAGES, "/accounts/2fa/", "/accounts/2fa/totp/activate/", "/accounts/password/change/", "/accounts/email/"]
)
def test_pages_need_nothing_but_our_own_files(customer_client: Client, path: str) -> None:
    response = customer_client.get(path, follow=True)
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    body = response.content.decode()
    assert not re.search(r"<script(?![^>]*(\bsrc=|application/json))|<style|\sstyle=|\son[a-z]+=|javascript:", body), (
        "inline code"
    )
    sources = re.findall(r'<(?:script|img|link)[^>]*?(?:src|href)="([^"]+)"', body)
    assert sources
    assert all(source.startswith(("/static/", "data:image/svg+xml")) for source in sources), sources


@pytest.mark.parametrize("path", PAGES)
def test_headers(customer_client: Client, path: str) -> None:
    headers = customer_client.get(path).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "private, no-store"


def test_deposit_withdraw_history(customer_client: Client, user: User) -> None:
    assertContains(customer_client.get("/wallet/"), "Nothing has happened yet.")
    assertRedirects(customer_client.post("/wallet/deposit/", DEPOSIT), "/wallet/")
    deposit = Transfer.objects.get()
    assertContains(customer_client.get("/wallet/"), "Deposit</strong> of 100.00 EUR")
    page = customer_client.post(f"/wallet/transfers/{deposit.pk}/confirm/", follow=True)
    assertContains(page, "Deposit confirmed.")
    assertRedirects(customer_client.post("/wallet/withdraw/", WITHDRAWAL), "/wallet/")
    page = customer_client.get("/wallet/")
    assertContains(page, "<dt>Available</dt><dd>60.00</dd>")
    assertContains(page, "<dt>Held</dt><dd>40.00</dd>")
    withdrawal = Transfer.objects.get(direction="withdrawal")
    customer_client.post(f"/wallet/transfers/{withdrawal.pk}/reject/")
    history = customer_client.get("/wallet/history/").content.decode()
    assert [kind for kind in ("Deposit", "Held", "Released") if f"<td>{kind}</td>" in history] == [
        "Deposit",
        "Held",
        "Released",
    ]
    assert re.findall(r"([+\N{MINUS SIGN}][0-9.]+) <abbr>EUR", history) == ["+40.00", "\N{MINUS SIGN}40.00", "+100.00"]
    assert Posting.objects.filter(account__owner=user).count() == 5


BAD_AMOUNTS = [
    "",
    "0",
    "-5",
    "NaN",
    "Infinity",
    "1e3",
    "0.001",
    "9" * 40,
    "1000000000000.01",
    "1,5",
    "<script>",
    "\x00",
]


@pytest.mark.parametrize("path", ["/wallet/deposit/", "/wallet/withdraw/"])
@pytest.mark.parametrize("amount", BAD_AMOUNTS)
def test_bad_amount_is_a_400_and_changes_nothing(customer_client: Client, funded: User, path: str, amount: str) -> None:
    response = customer_client.post(path, WITHDRAWAL | {"amount": amount})
    assert response.status_code == 400
    assert b"<script>" not in response.content
    assert Transfer.objects.count() == 1
    assert customer_accounts(funded, Asset.objects.get(pk="EUR")).available.balance == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asset": "DOGE"}, "Select a valid choice."),
        ({"asset": ""}, "This field is required."),
        ({"asset": "\x00"}, ""),
        ({"amount": "100.01"}, "That is more than is available."),
        ({"destination": ""}, "This field is required."),
        ({"destination": "x" * 101}, "at most 100 characters"),
        ({"destination": "a\x00b12"}, "Null characters are not allowed."),
        ({"idempotency_key": ""}, ""),
        ({"idempotency_key": "'; DROP TABLE"}, ""),
    ],
)
def test_bad_withdrawal(customer_client: Client, funded: User, change: dict[str, str], message: str) -> None:
    response = customer_client.post("/wallet/withdraw/", WITHDRAWAL | change)
    assertContains(response, message, status_code=400)
    assert Transfer.objects.filter(user=funded).count() == 1


def test_form_sent_twice_acts_once(customer_client: Client, funded: User) -> None:
    for _ in range(3):
        assertRedirects(customer_client.post("/wallet/withdraw/", WITHDRAWAL), "/wallet/")
    assert Transfer.objects.filter(user=funded, direction="withdrawal").count() == 1
    response = customer_client.post("/wallet/withdraw/", WITHDRAWAL | {"amount": "41"})
    assertContains(response, "This request was sent before with other contents.", status_code=400)


def test_deposit_key_used_for_something_else(customer_client: Client) -> None:
    customer_client.post("/wallet/deposit/", DEPOSIT)
    response = customer_client.post("/wallet/deposit/", DEPOSIT | {"amount": "41"})
    assertContains(response, "This request was sent before with other contents.", status_code=400)
    assert Transfer.objects.count() == 1


def test_each_form_has_a_key_of_its_own(customer_client: Client) -> None:
    keys = {
        re.search(
            r'name="idempotency_key" value="([0-9a-f]{32})"', customer_client.get("/wallet/deposit/").content.decode()
        )
        for _ in range(3)
    }
    assert len({match[1] for match in keys if match}) == 3


@pytest.mark.parametrize("decision", ["confirm", "reject"])
def test_transfers_of_others_are_not_there(
    customer_client: Client, make_user: Callable[[str], User], eur: Asset, decision: str
) -> None:
    transfer = request_deposit(make_user("bob"), eur, Decimal(1), "key-1")
    assert customer_client.post(f"/wallet/transfers/{transfer.pk}/{decision}/").status_code == 404
    transfer.refresh_from_db()
    assert transfer.state == "pending"
    assertNotContains(customer_client.get("/wallet/"), str(transfer.pk))


def test_contradicting_decision_is_explained(customer_client: Client, user: User, eur: Asset) -> None:
    transfer = request_deposit(user, eur, Decimal(1), "key-1")
    customer_client.post(f"/wallet/transfers/{transfer.pk}/confirm/")
    page = customer_client.post(f"/wallet/transfers/{transfer.pk}/reject/", follow=True)
    assertContains(page, "This transfer has been confirmed already.")


@pytest.mark.parametrize("path", ["/wallet/transfers/{}/destroy/", "/wallet/transfers/not-a-uuid/confirm/"])
def test_unknown_decisions(customer_client: Client, user: User, eur: Asset, path: str) -> None:
    transfer = request_deposit(user, eur, Decimal(1), "key-1")
    assert customer_client.post(path.format(transfer.pk)).status_code == 404


def test_rails_that_are_not_simulated_take_no_answer_from_customers(
    customer_client: Client, user: User, eur: Asset
) -> None:
    transfer = request_deposit(user, eur, Decimal(1), "key-1")
    with override_settings(SIMULATED_RAILS=False):
        assert customer_client.post(f"/wallet/transfers/{transfer.pk}/confirm/").status_code == 404
        assertNotContains(customer_client.get("/wallet/"), "Confirm")


@pytest.mark.parametrize("path", ["/wallet/deposit/", "/wallet/withdraw/", "/accounts/login/", "/accounts/logout/"])
def test_forms_of_other_sites_are_refused(user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    response = client.post(path, WITHDRAWAL)
    assertContains(response, "This form has expired", status_code=403)


@pytest.mark.parametrize(
    ("method", "path"), [("post", "/wallet/"), ("post", "/wallet/history/"), ("put", "/wallet/deposit/")]
)
def test_other_methods(customer_client: Client, method: str, path: str) -> None:
    assert getattr(customer_client, method)(path).status_code == 405


def test_decision_by_get_is_refused(customer_client: Client, user: User, eur: Asset) -> None:
    transfer = request_deposit(user, eur, Decimal(1), "key-1")
    assert customer_client.get(f"/wallet/transfers/{transfer.pk}/confirm/").status_code == 405


def test_history_page_by_page(customer_client: Client, user: User, eur: Asset) -> None:
    for number in range(60):
        confirm_transfer(request_deposit(user, eur, Decimal(number + 1), f"key-{number}").pk)
    first = customer_client.get("/wallet/history/").content.decode()
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    second = customer_client.get("/wallet/history/" + older[1]).content.decode()
    shown = [re.findall(r"\+([0-9]+)\.00 <abbr>EUR", page) for page in (first, second)]
    assert [int(number) for page in shown for number in page] == list(range(60, 0, -1))
    assert len(shown[0]) == 50
    assert 'rel="next"' not in second


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "\N{SUPERSCRIPT TWO}", "1 OR 1=1", "\x00"])
def test_bad_page_is_the_first(customer_client: Client, funded: User, before: str) -> None:
    del funded
    response = customer_client.get("/wallet/history/", {"before": before})
    assertContains(response, "+100.00")


def test_dashboard_needs_as_many_queries_for_more(
    customer_client: Client, funded: User, eur: Asset, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(10):
        request_withdrawal(funded, eur, Decimal(1), "IBAN", f"key-{number}")
    with django_assert_max_num_queries(8):
        customer_client.get("/wallet/")


@pytest.mark.parametrize("path", ["/nowhere", "/wallet/nowhere/"])
def test_nothing_there(customer_client: Client, path: str) -> None:
    assertContains(customer_client.get(path), "There is nothing at this address.", status_code=404)


def test_admin_shows_the_ledger_and_lets_nobody_touch_it(funded: User) -> None:
    admin = User.objects.create_superuser("root", "root@example.com", "correct-horse-9")
    client = Client()
    client.force_login(admin, backend="allauth.account.auth_backends.AuthenticationBackend")
    movement = Posting.objects.filter(account__owner=funded).get().movement_id
    page = client.get(f"/admin/ledger/movement/{movement}/change/")
    assertContains(page, "100.000000000000000000")
    assertNotContains(page, "Save")
    for model in ("movement", "account", "transfer", "asset"):
        assert client.get(f"/admin/ledger/{model}/").status_code == 200
        assert client.get(f"/admin/ledger/{model}/add/").status_code == 403
