"""A request whose database connection broke is done once more, on a new one, where doing it twice does no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter

from operations.errors import ConnectionLostResponse

HARMLESS: Final = {"GET", "HEAD", "OPTIONS"}
# What a request carries that acts only once, however often it comes: a header of the API, a field of the forms.
KEY_HEADER: Final = "Idempotency-Key"
KEY_FIELD: Final = "idempotency_key"
REPEATED: Final = Counter(
    "exchange_requests_repeated", "Requests that lost their database connection and were done once more", ["outcome"]
)

logger = structlog.get_logger(__name__)


def is_repeatable(request: HttpRequest) -> bool:
    """Say whether the request changes nothing, or acts once however often it is done."""
    if request.method in HARMLESS or KEY_HEADER in request.headers:
        return True
    return request.method == "POST" and KEY_FIELD in request.POST


class RepetitionMiddleware:
    """Hides the end of one server, primary or pooler, if another one is there already.

    It waits for nothing: during an outage the second try fails at once too, and the client is told to come again.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """Keep the next in line."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        response = self.get_response(request)
        if isinstance(response, ConnectionLostResponse) and is_repeatable(request):
            response = self.get_response(request)
            outcome = "failed" if isinstance(response, ConnectionLostResponse) else "answered"
            REPEATED.labels(outcome).inc()
            logger.warning("request_repeated", path=request.path, outcome=outcome, status=response.status_code)
        return response
