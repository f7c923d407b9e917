from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.test import Client, override_settings
from pytest_django.asserts import assertContains, assertRedirects

from accounts.models import User

PASSWORD = "correct-horse-9"
NEW = {"username": "carol", "email": "carol@example.com", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def no_tries_yet(db: None) -> None:
    """Forget the rate limits' counters of other tests."""
    del db
    cache.clear()


def log_in(client: Client, login: str = "alice", password: str = PASSWORD) -> int:
    """Send the login form and return the status."""
    return client.post("/accounts/login/", {"login": login, "password": password}).status_code


def test_register_then_use_the_wallet(client: Client) -> None:
    response = client.post("/accounts/signup/", NEW, follow=True)
    assertRedirects(response, "/wallet/")
    assert User.objects.get(username="carol").check_password(PASSWORD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password2": "another-horse-9"}, "You must type the same password each time."),
        ({"password1": "short", "password2": "short"}, "at least 10 characters"),
        ({"password1": "carol@example", "password2": "carol@example"}, "too similar to the email"),
        ({"password1": "password1234", "password2": "password1234"}, "too common"),
        ({"username": "alice"}, "A user with that username already exists."),
        ({"username": "ab"}, "at least 3"),
        ({"username": "<script>"}, "Enter a valid username"),
        ({"email": "nobody"}, "Enter a valid email address."),
        ({"email": ""}, "This field is required."),
    ],
)
def test_registration_is_refused(client: Client, user: User, change: dict[str, str], message: str) -> None:
    del user
    response = client.post("/accounts/signup/", NEW | change)
    assertContains(response, message)
    assert not User.objects.filter(username="carol").exists()


@pytest.mark.parametrize("login", ["alice", "alice@example.com", "ALICE"])
def test_log_in_and_out(client: Client, user: User, login: str) -> None:
    del user
    assertRedirects(client.get("/wallet/"), "/accounts/login/?next=/wallet/")
    assert log_in(client, login) == 302
    assert client.get("/wallet/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/wallet/").status_code == 302


def test_sessions_are_in_the_database(client: Client, user: User) -> None:
    del user
    log_in(client)
    # Another replica has nothing but the database and the cookie.
    elsewhere = Client()
    elsewhere.cookies["sessionid"] = client.cookies["sessionid"].value
    assert elsewhere.get("/wallet/").status_code == 200


@pytest.mark.parametrize(("login", "password"), [("alice", "wrong-horse-99"), ("nobody", PASSWORD)])
def test_wrong_login_does_not_say_what_was_wrong(client: Client, user: User, login: str, password: str) -> None:
    del user
    response = client.post("/accounts/login/", {"login": login, "password": password})
    assertContains(response, "The username and/or password you specified are not correct.")


def test_guessing_is_stopped_even_for_the_right_password(client: Client, user: User) -> None:
    del user
    for _ in range(5):
        log_in(client, password="wrong-horse-99")
    # From wherever the next try comes.
    response = Client(REMOTE_ADDR="192.0.2.7").post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    assertContains(response, "Too many failed login attempts.")
    assert log_in(Client(REMOTE_ADDR="192.0.2.7")) == 200


def test_guesses_at_many_accounts_do_not_wipe_out_the_counters(client: Client, user: User) -> None:
    del user
    for _ in range(5):
        log_in(client, password="wrong-horse-99")
    for number in range(400):
        cache.set(f"other-{number}", number, 600)
    assert log_in(client) == 200


def test_change_password(client: Client, user: User) -> None:
    log_in(client)
    response = client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "another-horse-9", "password2": "another-horse-9"},
    )
    assert response.status_code == 302
    user.refresh_from_db()
    assert user.check_password("another-horse-9")


@override_settings(PASSWORD_RESET_BY_MAIL=True)
def test_reset_password_by_mail(client: Client, user: User) -> None:
    assertContains(client.get("/accounts/login/"), "Forgot your password?")
    assertContains(client.get("/accounts/password/reset/"), "Send the link")
    client.post("/accounts/password/reset/", {"email": "alice@example.com"})
    text = str(mail.outbox[0].body)
    link = next(line for line in text.splitlines() if "/accounts/password/reset/key/" in line).strip()
    form = client.get(link.split("testserver", 1)[1], follow=True)
    client.post(form.request["PATH_INFO"], {"password1": "another-horse-9", "password2": "another-horse-9"})
    user.refresh_from_db()
    assert user.check_password("another-horse-9")


def test_no_reset_is_offered_without_mail(client: Client) -> None:
    assert "Forgot your password?" not in client.get("/accounts/login/").content.decode()
    assertContains(client.get("/accounts/password/reset/"), "This exchange sends no mail.")


def test_second_factor(client: Client, user: User) -> None:
    del user
    assert log_in(client) == 302
    assert client.get("/accounts/2fa/totp/activate/").headers["Location"].startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assertContains(client.get("/accounts/2fa/totp/activate/"), "data:image/svg+xml")
    secret = client.session["mfa.totp.secret"]

    def code() -> str:
        return str(format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time()))))

    response = client.post("/accounts/2fa/totp/activate/", {"code": code()})
    assertRedirects(response, "/accounts/2fa/recovery-codes/")
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in stored, "the seed is kept encrypted"
    recovery = client.get("/accounts/2fa/recovery-codes/download/").content.decode().split()
    assert len(recovery) == 10

    elsewhere = Client()
    assert log_in(elsewhere) == 302
    assert elsewhere.get("/wallet/").status_code == 302, "the password alone must not do"
    assert elsewhere.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert elsewhere.post("/accounts/2fa/authenticate/", {"code": recovery[0]}).status_code == 302
    assert elsewhere.get("/wallet/").status_code == 200

    # After a rotation of the signing key second factors still work.
    with override_settings(SECRET_KEY="x" * 60, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        rotated = Client()
        log_in(rotated)
        assert rotated.post("/accounts/2fa/authenticate/", {"code": recovery[1]}).status_code == 302

    third = Client()
    log_in(third)
    assert third.post("/accounts/2fa/authenticate/", {"code": recovery[0]}).status_code == 200, "codes are good once"
    assert third.get("/wallet/").status_code == 302
