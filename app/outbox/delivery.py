"""Handing mail to the mail server: at least once, and hardly ever more.

A mail is claimed before it is sent: its next attempt is put off, and committed. A worker that is killed leaves a mail
that is tried again a minute later. It arrives twice only if the worker, or its connection to the database, was lost
between the server's "accepted" and the commit that says so; it has the same Message-ID then.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend
from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone
from prometheus_client import Counter, Gauge

from outbox.models import Mail

log = structlog.get_logger(__name__)

RESULTS: Final = Counter("exchange_mails", "Attempts to send a mail, by what came of them", ["result"])
LAG: Final = Gauge("exchange_mails_lag_seconds", "Age of the oldest mail that waits")
UNREACHABLE: Final = Counter("exchange_mail_server_unreachable", "Rounds in which the mail server could not be used")
# One minute after the first attempt, then two, four, at most 60; longer than any attempt takes.
FIRST_DELAY: Final = timedelta(minutes=1)
LONGEST_DELAY: Final = timedelta(hours=1)
# Then it has failed: what it says is out of date, such as a reset link.
KEEP_TRYING: Final = timedelta(days=2)
KEEP_RECORD: Final = timedelta(days=30)
PERMANENT: Final = 500


class MailServerUnreachableError(Exception):
    """Nothing can be sent now; no mail was touched."""


def send_mails(stop: Callable[[], bool] = lambda: False) -> int:
    """Send every mail that is due over one connection, and return how many were sent.

    Raises:
        MailServerUnreachableError: there is no connection, or the server refused the login.
    """
    oldest = Mail.objects.filter(state=Mail.State.WAITING).aggregate(Min("created_at"))["created_at__min"]
    LAG.set((timezone.now() - oldest).total_seconds() if oldest else 0)
    if not settings.EMAIL_HOST or not _due().exists():
        return 0
    backend = get_connection("django.core.mail.backends.smtp.EmailBackend")
    if not isinstance(backend, SmtpBackend):
        raise TypeError(f"mail is sent over SMTP, not over {type(backend)}")
    sent = 0
    try:
        server = _connect(backend)
        while not stop() and (mail := _claim()):
            if _send(server, mail):
                sent += 1
    finally:
        _hang_up(backend)
    return sent


def forget_old_mails() -> int:
    """Delete what is known of mails that were sent, or have failed, long ago; return how many."""
    old = Mail.objects.exclude(state=Mail.State.WAITING).filter(decided_at__lt=timezone.now() - KEEP_RECORD)
    return old.delete()[0]


def delay(attempts: int) -> timedelta:
    """Return how long after so many attempts the next one is."""
    return min(FIRST_DELAY * (1 << min(attempts - 1, 20)), LONGEST_DELAY)


def _due() -> QuerySet[Mail]:
    return Mail.objects.filter(state=Mail.State.WAITING, next_attempt_at__lte=timezone.now())


def _connect(backend: SmtpBackend) -> smtplib.SMTP:
    try:
        backend.open()
    except OSError as error:  # smtplib's own are among them
        UNREACHABLE.inc()
        raise MailServerUnreachableError(str(error)) from error
    if backend.connection is None:
        raise MailServerUnreachableError("there is no connection")
    return backend.connection


def _hang_up(backend: SmtpBackend) -> None:
    try:
        backend.close()
    except OSError as error:
        log.warning("the connection to the mail server did not end well", error=str(error))


@transaction.atomic
def _claim() -> Mail | None:
    """Return the next mail that is due, with its next attempt put off; None: there is none."""
    while mail := _due().select_for_update(skip_locked=True).order_by("next_attempt_at", "id").first():
        if mail.created_at >= timezone.now() - KEEP_TRYING:
            mail.attempts += 1
            mail.next_attempt_at = timezone.now() + delay(mail.attempts)
            mail.save(update_fields=["attempts", "next_attempt_at"])
            return mail
        _decide(mail, Mail.State.FAILED, mail.last_error or "the mail server could not be reached")
    return None


def _send(server: smtplib.SMTP, mail: Mail) -> bool:
    """Send one mail and note what came of it.

    Raises:
        MailServerUnreachableError: the connection is lost, so nobody knows whether this mail was taken.
    """
    try:
        server.sendmail(mail.sender, mail.recipients, bytes(mail.content))
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
        if _is_permanent(error):
            _decide(mail, Mail.State.FAILED, str(error))
        else:
            _keep(mail, str(error))
        return False
    except OSError as error:
        _keep(mail, str(error) or type(error).__name__)
        UNREACHABLE.inc()
        raise MailServerUnreachableError(str(error)) from error
    _decide(mail, Mail.State.SENT, "")
    return True


def _is_permanent(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException) -> bool:
    """Say whether the server will never take this mail. That it refuses the sender is for us to correct, not final."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= PERMANENT for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= PERMANENT


def _keep(mail: Mail, error: str) -> None:
    Mail.objects.filter(pk=mail.pk).update(last_error=error)
    RESULTS.labels("deferred").inc()
    log.warning("mail not sent, it is tried again", mail_id=mail.pk, attempts=mail.attempts, error=error)


def _decide(mail: Mail, state: Mail.State, error: str) -> None:
    """Note that a mail was sent or has failed, and forget what it says."""
    Mail.objects.filter(pk=mail.pk).update(state=state, content=b"", decided_at=timezone.now(), last_error=error)
    RESULTS.labels(state.value).inc()
    if state == Mail.State.SENT:
        log.info("mail sent", mail_id=mail.pk, attempts=mail.attempts)
    else:
        log.error("mail has failed", mail_id=mail.pk, attempts=mail.attempts, error=error)
