"""Requests that move money act once: sent again, they get the first one's answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Final, cast

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Header
from pydantic import BaseModel

from accounts.models import User
from api.models import StoredAnswer
from ledger.batch import Batch
from ledger.errors import IdempotencyConflict
from operations.repetition import KEY_HEADER

REPLAYED: Final = "Idempotency-Replayed"
# A statement must end long before its timeout.
FORGOTTEN_AT_ONCE: Final = 5_000

IdempotencyKey = Annotated[
    str,
    Header(
        alias=KEY_HEADER,
        description="Chosen by the client, new for each thing that it wants done: 8 to 100 letters, digits and "
        "hyphens, such as a UUID. The same request sent again with the same key acts no second time and gets "
        "the first one's answer.",
        pattern=r"^[A-Za-z0-9-]{8,100}$",
    ),
]


def once(
    request: HttpRequest, user: User, key: str, payload: BaseModel, work: Callable[[], tuple[int, str]]
) -> HttpResponse:
    """Do the work and keep its answer, in one transaction; or return the answer that is kept for this key.

    The same request at the same moment waits for the first one. Refusals (exceptions) change nothing and aren't kept.

    Args:
        request: gives method and path.
        user: whose key it is.
        key: the Idempotency-Key.
        payload: the request's body.
        work: does it within this transaction and returns status and body.

    Raises:
        IdempotencyConflict: the key was used for another request.
    """
    fingerprint = _fingerprint(request, payload)
    with transaction.atomic():
        stored = _lock_and_look_up(user, key)
        if stored is not None:
            known_fingerprint, status, body = stored
            if known_fingerprint != fingerprint:
                raise IdempotencyConflict("This key was used before, for another request.")
            return _response(status, body, replayed=True)
        status, body = work()
        _keep(user, key, fingerprint, status, body)
    return _response(status, body, replayed=False)


def forget_old_answers(days: int) -> int:
    """Delete answers that are older, and return how many. Orders and transfers still know their keys afterwards."""
    old = StoredAnswer.objects.filter(created_at__lt=timezone.now() - timedelta(days=days))
    forgotten = 0
    while ids := list(old.order_by("created_at").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        forgotten += StoredAnswer.objects.filter(pk__in=ids).delete()[0]
    return forgotten


def _fingerprint(request: HttpRequest, payload: BaseModel) -> str:
    # Without what is null: a field that a later version adds changes nothing.
    text = f"{request.method} {request.path}\n{payload.model_dump_json(exclude_none=True)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _lock_and_look_up(user: User, key: str) -> tuple[str, int, str] | None:
    """Wait for the same request if it is under way, then return what is stored, in one round trip."""
    batch = Batch()
    batch.add("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", f"api:{user.pk}:{key}")
    stored = batch.add(
        "SELECT fingerprint, status, body FROM api_storedanswer WHERE user_id = %s AND key = %s", user.pk, key
    )
    rows = batch.run()[stored]
    return cast("tuple[str, int, str]", rows[0]) if rows else None


def _keep(user: User, key: str, fingerprint: str, status: int, body: str) -> None:
    batch = Batch()
    batch.add(
        "INSERT INTO api_storedanswer (user_id, key, fingerprint, status, body, created_at)"
        " VALUES (%s, %s, %s, %s, %s, now())",
        user.pk, key, fingerprint, status, body,
    )  # fmt: skip
    batch.run()


def _response(status: int, body: str, *, replayed: bool) -> HttpResponse:
    headers = {REPLAYED: "true"} if replayed else {}
    return HttpResponse(body, status=status, content_type="application/json", headers=headers)
