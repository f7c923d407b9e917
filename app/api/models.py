"""The API's tables: who may come in, and what was answered to requests that move money."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class ApiToken(models.Model):
    """Lets a program act for a customer. The text itself is shown once and not kept."""

    class Scope(models.TextChoices):
        """What a token is good for; each includes those before it."""

        READ = "read", "Look only"
        TRADE = "trade", "Look, place and cancel orders"
        FULL = "full", "Look, trade, deposit and withdraw"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=50)
    scope = models.CharField(max_length=5, choices=Scope.choices)
    # SHA-256 of the text, in hex: 32 random bytes need neither salt nor slowness.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The text's first characters, by which its owner tells it from others.
    prefix = models.CharField(max_length=12, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(scope__in=["read", "trade", "full"]), name="token_scope"),
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="token_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}"

    def allows(self, scope: ApiToken.Scope) -> bool:
        """Say whether it is good for something of this scope."""
        order = list(ApiToken.Scope)
        return order.index(ApiToken.Scope(self.scope)) >= order.index(scope)


class StoredAnswer(models.Model):
    """The first answer to a request that moves money, for the same request sent again."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=100)
    # SHA-256 of method, path and body, in hex.
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "key"], name="answer_once")]
        # Ages grow with ids, so a small index finds the old ones.
        indexes: ClassVar = [models.Index(fields=["created_at"], name="answer_age")]

    def __str__(self) -> str:
        return f"{self.status} to {self.key} of {self.user_id}"
