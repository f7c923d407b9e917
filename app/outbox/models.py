"""Mail on its way out."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Mail(models.Model):
    """A mail as the mail server gets it: the envelope, and the message with its headers (RFC 5322).

    Nothing in it depends on a version of Python or of this code. The Message-ID is part of it, so a mail that had to be
    sent twice is the same one twice. What it says (a reset link, perhaps) is forgotten as soon as it is sent.
    """

    class State(models.TextChoices):
        """What became of it."""

        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    id = models.BigAutoField(primary_key=True)
    sender = models.CharField(max_length=320)
    recipients = ArrayField(models.CharField(max_length=320))
    subject = models.CharField(max_length=200)
    content = models.BinaryField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now)
    # How often it was tried, when it is tried next, and what the mail server said last.
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_error = models.TextField(blank=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True) & ~Q(content=b"")
                | Q(state__in=["sent", "failed"], decided_at__isnull=False, content=b""),
                name="mail_state",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at", "id"], condition=Q(state="waiting"), name="mail_waiting"),
            models.Index(fields=["decided_at"], condition=~Q(state="waiting"), name="mail_decided"),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.state}"
