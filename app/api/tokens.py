"""Issuing, finding and revoking API tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from api.models import ApiToken

# Tells people and secret scanners what it is.
MARK: Final = "cce_"
TEXT: Final = re.compile(rf"{MARK}[A-Za-z0-9_-]{{43}}", re.ASCII)
# `last_used_at` is no finer, so that a busy token doesn't write its row at each request.
USE_NOTED_EVERY: Final = timedelta(minutes=1)


def issue(user: User, name: str, scope: ApiToken.Scope = ApiToken.Scope.FULL) -> tuple[ApiToken, str]:
    """Make a token and return it with its text, which nobody can read again later."""
    text = MARK + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        owner=user, name=name, scope=scope, digest=_digest(text), prefix=text[: len(MARK) + 6]
    )
    return token, text


def find(text: str) -> ApiToken | None:
    """Return the token with its owner, if it is good; note that it was used."""
    if not TEXT.fullmatch(text):
        return None
    good = ApiToken.objects.filter(digest=_digest(text), revoked_at=None, owner__is_active=True)
    token = good.select_related("owner").first()
    if token is not None:
        _note_use(token)
    return token


def revoke(token: ApiToken) -> None:
    """Make a token useless from now on."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _note_use(token: ApiToken) -> None:
    now = timezone.now()
    before = now - USE_NOTED_EVERY
    if token.last_used_at is None or token.last_used_at < before:
        # Of several requests at once, one writes.
        stale = Q(last_used_at=None) | Q(last_used_at__lt=before)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
