"""Django's way into the outbox: every mail is written into the database, together with what caused it."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import sanitize_address

from outbox.models import Mail

SUBJECT_LENGTH = 200


class EmailBackend(BaseEmailBackend):
    """Keeps mail for the worker. Within a transaction it is kept if, and only if, that is committed."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Write the mails into the outbox, and return how many."""
        mails = [_mail(message) for message in email_messages if message.recipients()]
        Mail.objects.bulk_create(mails)
        return len(mails)


def _mail(message: EmailMessage) -> Mail:
    encoding = message.encoding or "utf-8"
    content = message.message()
    return Mail(
        sender=sanitize_address(message.from_email, encoding),
        recipients=[sanitize_address(address, encoding) for address in message.recipients()],
        subject=" ".join(str(message.subject).split())[:SUBJECT_LENGTH],
        content=content.as_bytes(linesep="\r\n"),  # type: ignore[call-arg] # Django's takes it
    )
