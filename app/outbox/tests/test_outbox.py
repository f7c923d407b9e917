"""Mail from the moment it is written to the moment a real mail server has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives, send_mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from outbox.delivery import (
    FIRST_DELAY,
    KEEP_RECORD,
    KEEP_TRYING,
    LONGEST_DELAY,
    MailServerUnreachableError,
    delay,
    forget_old_mails,
    send_mails,
)
from outbox.models import Mail
from testing.mail_server import MailServer
from testing.processes import environment, manage

pytestmark = pytest.mark.django_db
REFUSALS = {"greylisted@example.com": "451 come again", "nobody@example.com": "550 no such user"}


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    """Run a mail server, and let mail go through the outbox to it."""
    with MailServer() as running:
        running.refusals = dict(REFUSALS)
        settings.EMAIL_BACKEND = "outbox.backend.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield running


def write(to: str = "alice@example.com", subject: str = "Hello") -> None:
    """Send a mail the way Django does."""
    send_mail(subject, "The link: https://exchange.example.com/reset/secret\n", "us@example.com", [to])


def make_due() -> None:
    """Let the time of the next attempt come."""
    Mail.objects.filter(state="waiting").update(next_attempt_at=timezone.now())


def test_arrives_as_it_was_written_and_is_forgotten(server: MailServer) -> None:
    message = EmailMultiAlternatives(
        "Grüße aus Köln",
        "Zwölf\n.\nEnde\n",
        "Börse <us@example.com>",
        ["Alice <alice@example.com>"],
        bcc=["audit@example.com"],
        headers={"X-Purpose": "test"},
    )
    message.attach_alternative("<p>Zwölf</p>", "text/html")
    assert message.send() == 1
    assert server.received == []
    assert Mail.objects.get().subject == "Grüße aus Köln"
    assert send_mails() == 1
    (arrived,) = server.received
    assert (arrived.sender, list(arrived.recipients)) == ("us@example.com", ["alice@example.com", "audit@example.com"])
    assert arrived.message["X-Purpose"] == "test"
    assert "audit" not in str(arrived.message)
    text, html = [part.get_payload(decode=True) for part in arrived.message.walk() if not part.is_multipart()]
    assert isinstance(text, bytes)
    assert text.decode() == "Zwölf\r\n.\r\nEnde\r\n"
    assert html == b"<p>Zw\xc3\xb6lf</p>"
    mail = Mail.objects.get()
    assert (mail.state, bytes(mail.content), mail.attempts) == ("sent", b"", 1)
    assert send_mails() == 0
    assert len(server.received) == 1


def test_is_written_with_what_caused_it_or_not_at_all(server: MailServer) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write()
        raise ZeroDivisionError
    assert (Mail.objects.count(), send_mails(), server.received) == (0, 0, [])


def test_waits_while_the_server_is_down(server: MailServer) -> None:
    server.stop()
    write("alice@example.com")
    write("bob@example.com")
    for _ in range(3):
        with pytest.raises(MailServerUnreachableError):
            send_mails()
    # Nothing was tried, so nothing is put off: they go out as soon as the server is back.
    assert list(Mail.objects.values_list("state", "attempts")) == [("waiting", 0)] * 2
    server.start()
    assert send_mails() == 2
    assert [list(mail.recipients) for mail in server.received] == [["alice@example.com"], ["bob@example.com"]]


def test_login_that_is_refused_touches_no_mail(server: MailServer, settings: Any) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "us", "wrong"
    write()
    with pytest.raises(MailServerUnreachableError):
        send_mails()
    assert Mail.objects.get().attempts == 0
    assert server.received == []


def test_one_that_is_put_off_keeps_no_other_waiting(server: MailServer) -> None:
    write("greylisted@example.com")
    write("alice@example.com")
    assert send_mails() == 1
    waiting = Mail.objects.get(state="waiting")
    assert waiting.attempts == 1
    assert "come again" in waiting.last_error
    assert send_mails() == 0, "it is not due"
    assert waiting.next_attempt_at > timezone.now() + FIRST_DELAY / 2
    server.refusals.clear()
    make_due()
    assert send_mails() == 1
    assert len(server.received) == 2
    assert not Mail.objects.exclude(state="sent").exists()


def test_one_that_is_refused_for_good_has_failed(server: MailServer) -> None:
    write("nobody@example.com")
    write("alice@example.com")
    assert send_mails() == 1
    failed = Mail.objects.get(state="failed")
    assert "no such user" in failed.last_error
    assert bytes(failed.content) == b""
    make_due()
    assert send_mails() == 0
    assert len(server.received) == 1


def test_given_up_after_two_days(server: MailServer) -> None:
    write("greylisted@example.com")
    send_mails()
    Mail.objects.update(created_at=timezone.now() - KEEP_TRYING, next_attempt_at=timezone.now())
    assert send_mails() == 0
    mail = Mail.objects.get()
    assert (mail.state, mail.attempts, bytes(mail.content)) == ("failed", 1, b"")
    assert "come again" in mail.last_error
    assert server.received == []


def test_claimed_but_not_sent_is_tried_again(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """What SIGKILL does, as far as this process can play it."""

    def die(*_: object) -> None:
        raise Killed

    write()
    with monkeypatch.context() as patched:
        patched.setattr("smtplib.SMTP.sendmail", die)
        with pytest.raises(Killed):
            send_mails()
    assert send_mails() == 0, "nobody else sends it for a minute"
    make_due()
    assert send_mails() == 1
    assert len(server.received) == 1


def test_twice_only_if_it_died_before_it_could_say_so_and_then_recognizably(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """What SIGKILL does, as far as this process can play it."""

    def die(*_: object) -> None:
        raise Killed

    write()
    with monkeypatch.context() as patched:
        patched.setattr("outbox.delivery._decide", die)
        with pytest.raises(Killed):
            send_mails()
    make_due()
    assert send_mails() == 1
    first, second = (mail.message["Message-ID"] for mail in server.received)
    assert first == second
    assert first


def test_connection_lost_in_the_middle_ends_the_round(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    write("alice@example.com")
    write("bob@example.com")
    with monkeypatch.context() as patched:
        patched.setattr("smtplib.SMTP.data", lambda *_: (_ for _ in ()).throw(ConnectionResetError("reset")))
        with pytest.raises(MailServerUnreachableError):
            send_mails()
    assert sorted(Mail.objects.values_list("attempts", flat=True)) == [0, 1]
    assert send_mails() == 1
    make_due()
    assert send_mails() == 1
    assert sorted(mail.recipients[0] for mail in server.received) == ["alice@example.com", "bob@example.com"]


def test_stops_between_two_mails(server: MailServer) -> None:
    for _ in range(3):
        write()
    answers = iter([False, True])
    assert send_mails(lambda: next(answers)) == 1
    assert len(server.received) == 1


def test_delays_grow_up_to_an_hour() -> None:
    delays = [delay(attempts) for attempts in range(1, 200)]
    assert delays[:4] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY


def test_old_records_are_forgotten_and_waiting_mail_never(server: MailServer) -> None:
    del server
    write("alice@example.com")
    send_mails()
    write("greylisted@example.com")
    long_ago = timezone.now() - KEEP_RECORD - timedelta(days=1)
    Mail.objects.filter(state="sent").update(decided_at=long_ago)
    Mail.objects.filter(state="waiting").update(created_at=long_ago)
    assert forget_old_mails() == 1
    assert Mail.objects.get().state == "waiting"


@pytest.mark.parametrize("change", [{"state": "sent"}, {"content": b""}, {"state": "odd"}, {"decided_at": "now"}])
def test_the_database_refuses_what_makes_no_sense(server: MailServer, change: dict[str, Any]) -> None:
    del server
    write()
    if change.get("decided_at"):
        change = {"decided_at": timezone.now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Mail.objects.update(**change)


def test_nothing_is_sent_without_a_server(server: MailServer, settings: Any) -> None:
    write()
    settings.EMAIL_HOST = ""
    assert send_mails() == 0
    assert server.received == []


def test_a_reset_link_goes_through_the_outbox(server: MailServer, settings: Any, user: User) -> None:
    settings.PASSWORD_RESET_BY_MAIL = True
    cache.clear()
    Client().post("/accounts/password/reset/", {"email": user.email})
    assert server.received == []
    assert b"/accounts/password/reset/key/" in bytes(Mail.objects.get().content)
    send_mails()
    (arrived,) = server.received
    assert "/accounts/password/reset/key/" in str(arrived.message)
    assert bytes(Mail.objects.get().content) == b"", "the link is nobody's business any more"


@pytest.mark.parametrize(
    ("variables", "backend"),
    [
        ({}, "django.core.mail.backends.dummy.EmailBackend"),
        ({"DEBUG": "true"}, "django.core.mail.backends.console.EmailBackend"),
        ({"EMAIL_HOST": "mail.example.com"}, "outbox.backend.EmailBackend"),
        ({"EMAIL_HOST": "mail.example.com", "DEBUG": "true"}, "outbox.backend.EmailBackend"),
    ],
)
def test_where_mail_goes(variables: dict[str, str], backend: str) -> None:
    database = {f"DATABASE_{name}": "x" for name in ("HOST", "NAME", "USER", "PASSWORD")}
    said = manage(environment(database | {"DATABASE_SSLMODE": "disable"} | variables), "diffsettings").stdout
    assert f"EMAIL_BACKEND = '{backend}'" in said
    assert f"PASSWORD_RESET_BY_MAIL = {bool(variables)}" in said
