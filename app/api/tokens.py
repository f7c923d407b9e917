"""Issuing, finding and revoking API tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Final

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from api.models import ApiToken

# Tells people and secret scanners what it is.
MARK: Final = "cce_"
TEXT: Final = re.compile(rf"{MARK}[A-Za-z0-9_-]{{43}}", re.ASCII)
# `last_used_at` is no finer, so that a busy token doesn't write its row at each request.
USE_NOTED_EVERY: Final = timedelta(minutes=1)

# Every request asks this, so without the ORM, which takes ten times as long to write it. Whatever else of the token or
# its owner is needed is read when it is.
FOUND: Final = ["id", "owner_id", "scope", "last_used_at"]
FIND: Final = f"""
    SELECT {", ".join(f"t.{name}" for name in FOUND)} FROM api_apitoken t JOIN accounts_user u ON u.id = t.owner_id
    WHERE t.digest = %s AND t.revoked_at IS NULL AND u.is_active
"""  # noqa: S608 - names of our own columns


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
    with connection.cursor() as cursor:
        cursor.execute(FIND, [_digest(text)])
        row = cursor.fetchone()
    if row is None:
        return None
    token = ApiToken.from_db(connection.alias, FOUND, row)
    token.owner = User.from_db(connection.alias, ["id"], [token.owner_id])
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
