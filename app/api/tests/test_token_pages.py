"""The pages on which customers make and revoke tokens."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from accounts.models import User
from api.models import ApiToken
from api.tokens import find, issue
from api.views import MAX_TOKENS

LIST, NEW = "/accounts/tokens/", "/accounts/tokens/new/"


@pytest.fixture
def browser(customer_client: Client) -> Client:
    """Return a browser in which the customer has just entered the password again."""
    page = customer_client.post("/accounts/reauthenticate/", {"password": "correct-horse-9", "next": NEW})
    assertRedirects(page, NEW)
    return customer_client


@pytest.mark.django_db
@pytest.mark.parametrize("path", [LIST, NEW, "/accounts/tokens/1/revoke/"])
def test_strangers_are_sent_to_the_login(client: Client, path: str) -> None:
    assert client.get(path).headers["Location"].startswith("/accounts/login/")
    assert client.post(path).headers["Location"].startswith("/accounts/login/")


def test_token_is_made_shown_once_and_revoked(browser: Client, user: User) -> None:
    assertContains(browser.get(LIST), "You have no tokens.")
    assertContains(browser.get(NEW), "<form")
    page = browser.post(NEW, {"name": "my <bot>", "scope": "trade"})
    found = re.search(r'id="token">(cce_[A-Za-z0-9_-]{43})<', page.content.decode())
    assert found
    token = find(found[1])
    assert token
    assert (token.owner, token.name, token.scope) == (user, "my <bot>", "trade")
    assert page.headers["Cache-Control"] == "private, no-store"
    assertNotContains(browser.get(LIST), found[1])
    assertContains(browser.get(LIST), "my &lt;bot&gt;")
    assertContains(browser.get(LIST), token.prefix)
    assertRedirects(browser.post(f"/accounts/tokens/{token.pk}/revoke/"), LIST)
    assertContains(browser.get(LIST), "You have no tokens.")
    assert find(found[1]) is None


def test_the_password_is_asked_for_again(customer_client: Client) -> None:
    for response in (customer_client.get(NEW), customer_client.post(NEW, {"name": "bot", "scope": "full"})):
        assert response.headers["Location"].startswith("/accounts/reauthenticate/")
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    "data", [{}, {"name": "", "scope": "read"}, {"name": "x" * 51, "scope": "read"}, {"name": "bot", "scope": "root"}]
)
def test_bad_form(browser: Client, data: dict[str, str]) -> None:
    assert browser.post(NEW, data).status_code == 400
    assert not ApiToken.objects.exists()


def test_there_is_a_limit(browser: Client, user: User) -> None:
    for number in range(MAX_TOKENS):
        issue(user, f"bot {number}")
    assertContains(browser.post(NEW, {"name": "one more", "scope": "read"}), "Revoke one", status_code=400)
    assert ApiToken.objects.count() == MAX_TOKENS


def test_tokens_of_others_are_not_there(browser: Client, make_user: Callable[[str], User]) -> None:
    token, text = issue(make_user("bob"), "bob's")
    assert browser.post(f"/accounts/tokens/{token.pk}/revoke/").status_code == 404
    assertNotContains(browser.get(LIST), token.prefix)
    assert find(text)


def test_revoking_needs_a_post_and_a_csrf_token(user: User) -> None:
    token, text = issue(user, "bot")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get(f"/accounts/tokens/{token.pk}/revoke/").status_code == 405
    assert client.post(f"/accounts/tokens/{token.pk}/revoke/").status_code == 403
    assert find(text)
