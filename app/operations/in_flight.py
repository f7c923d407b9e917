"""How many requests are being answered: what a busy pod has more of, whatever it waits for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.http import HttpRequest, HttpResponse
from prometheus_client import Gauge


@cache
def in_flight() -> Gauge:
    """Return the gauge; made by whoever serves, since a process that imports this need not have a place for it."""
    return Gauge(
        "exchange_requests_in_flight", "Requests that are being answered, without probes", multiprocess_mode="livesum"
    )


class InFlightMiddleware:
    """Counts requests that are under way."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """Keep the next in line."""
        self.get_response = get_response
        self.gauge = in_flight()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        with self.gauge.track_inprogress():
            return self.get_response(request)
