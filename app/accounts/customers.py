"""Who is looking at a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

if TYPE_CHECKING:
    from accounts.models import User

View = Callable[..., HttpResponseBase]


def customer(request: HttpRequest) -> User:
    """Return who is logged in."""
    return cast("User", request.user)


def htmx(request: HttpRequest) -> HtmxDetails:
    """Return what htmx says about the request; false if a browser sent it by itself."""
    return cast("HtmxDetails", getattr(request, "htmx"))  # noqa: B009 - set by a middleware


def customer_required(view: View) -> View:
    """Send strangers to the login, the whole page even if they asked for a part of it, and back to what they saw."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        home = resolve_url(settings.LOGIN_REDIRECT_URL)
        if htmx(request):
            # Their session has ended while the page was open.
            return HttpResponseClientRedirect(redirect_to_login(htmx(request).current_url_abs_path or home).url)
        return redirect_to_login(request.get_full_path() if request.method == "GET" else home)

    return wrapper
