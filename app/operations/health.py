"""/healthz and /readyz, answered before anything else looks at the request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse

log = structlog.get_logger(__name__)


def unready_reason() -> str | None:
    """Say why requests can't be served now, or return None if they can. Applied migrations we don't know are fine."""
    try:
        applied = set(MigrationRecorder(connection).applied_migrations())
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        log.warning("readiness: the database can't be reached", error=str(error).strip())
        return "the database can't be reached"
    missing = sorted(".".join(migration) for migration in _known_migrations() - applied)
    return f"migrations are not applied: {', '.join(missing)}" if missing else None


_known: frozenset[tuple[str, str]] | None = None


def _known_migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations that this code comes with; they don't change while the process runs."""
    global _known  # noqa: PLW0603 - read from disk once a process
    if _known is None:
        loader = MigrationLoader(None)
        _known = frozenset(loader.disk_migrations)
    return _known


class Readiness:
    """Reuses an answer for a moment, so that probes and curious clients cost the database next to nothing."""

    def __init__(self, check: Callable[[], str | None], lifetime_seconds: float) -> None:
        """Wrap a check that returns why we are not ready, or None."""
        self._check, self._lifetime = check, lifetime_seconds
        self._lock = threading.Lock()
        self._good_until = float("-inf")
        self._reason: str | None = None

    def reason(self) -> str | None:
        """Return why we are not ready, or None."""
        with self._lock:
            if time.monotonic() >= self._good_until:
                self._reason = self._check()
                self._good_until = time.monotonic() + self._lifetime
            return self._reason


class HealthMiddleware:
    """Answers the probes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """Keep the next in line."""
        self.get_response = get_response
        self.readiness = Readiness(unready_reason, settings.READINESS_CACHE_SECONDS)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        if request.path == "/healthz":
            version = {"version": settings.APP_VERSION} if settings.APP_VERSION else {}
            return JsonResponse({"status": "ok", **version})
        if request.path == "/readyz":
            reason = self.readiness.reason()
            if reason:
                return JsonResponse({"status": "unavailable", "reason": reason}, status=503)
            return JsonResponse({"status": "ok"})
        return self.get_response(request)
