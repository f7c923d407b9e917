"""The project's addresses, and some that misbehave on purpose."""

from __future__ import annotations

import time

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from exchange.urls import handler500
from exchange.urls import urlpatterns as exchange_urlpatterns

__all__ = ["handler500", "urlpatterns"]


def slow(request: HttpRequest) -> HttpResponse:
    """Answer after so many seconds."""
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse("done")


def query(_request: HttpRequest) -> HttpResponse:
    """Ask the database something."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        row = cursor.fetchone()
    return HttpResponse(str(row[0]))


@csrf_exempt
def wait(request: HttpRequest) -> HttpResponse:
    """Let the database wait for so many seconds, and say which of its processes did."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_sleep(%s)", [float(request.GET["seconds"])])
        row = cursor.fetchone()
    return HttpResponse(str(row[0]))


urlpatterns = [
    *exchange_urlpatterns,
    path("testing/slow", slow),
    path("testing/query", query),
    path("testing/wait", wait),
]
