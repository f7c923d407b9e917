from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from prometheus_client import REGISTRY

from operations.in_flight import InFlightMiddleware


def now() -> float | None:
    return REGISTRY.get_sample_value("exchange_requests_in_flight", {})


@pytest.mark.parametrize("fails", [False, True])
def test_a_request_counts_while_it_is_under_way(*, fails: bool) -> None:
    seen: list[float | None] = []

    def answer(_request: HttpRequest) -> HttpResponse:
        seen.append(now())
        if fails:
            raise ValueError
        return HttpResponse()

    try:
        InFlightMiddleware(answer)(HttpRequest())
    except ValueError:
        assert fails
    assert (seen, now()) == ([1.0], 0.0)


def test_it_is_in_the_way_of_every_request_but_probes(settings: object) -> None:
    order = list(settings.MIDDLEWARE)  # type: ignore[attr-defined]
    assert (
        order.index("operations.health.HealthMiddleware") == order.index("operations.in_flight.InFlightMiddleware") - 1
    )
    assert Client().get("/healthz").status_code == 200
