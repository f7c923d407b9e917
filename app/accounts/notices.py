"""Mails that tell customers what happened to their account."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django.core.mail import send_mail
from django.template.loader import render_to_string

from accounts.models import User


def notify(user: User, notice: str, **context: Any) -> None:
    """Mail the customer the text in templates/mail: its first line is the subject.

    Nothing is mailed to an address that its owner hasn't confirmed: it may be a stranger's.
    """
    address = EmailAddress.objects.filter(user=user, primary=True, verified=True).first()
    if address is None:
        return
    text = render_to_string(f"mail/{notice}.txt", {"user": user, **context})
    subject, _, body = text.strip().partition("\n")
    send_mail(subject, body.strip() + "\n", None, [address.email])
