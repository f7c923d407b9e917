"""The page on which customers make and revoke their API tokens."""

from __future__ import annotations

from typing import Final

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.customers import customer
from api.forms import TokenForm
from api.models import ApiToken
from api.tokens import issue, revoke

MAX_TOKENS: Final = 50


@login_required
@require_GET
def token_list(request: HttpRequest) -> HttpResponse:
    """Show the tokens that are good."""
    found = ApiToken.objects.filter(owner=customer(request), revoked_at=None)
    return render(request, "api/tokens.html", {"tokens": found[:MAX_TOKENS]})


@login_required
@reauthentication_required
@require_http_methods(["GET", "POST"])
def create_token(request: HttpRequest) -> HttpResponse:
    """Make a token and show its text, this once. Who does it has entered the password a moment ago."""
    user = customer(request)
    form = TokenForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        if ApiToken.objects.filter(owner=user, revoked_at=None).count() >= MAX_TOKENS:
            form.add_error(None, f"You have {MAX_TOKENS} tokens. Revoke one that you don't need any more.")
        else:
            token, text = issue(user, form.cleaned_data["name"], ApiToken.Scope(form.cleaned_data["scope"]))
            return render(request, "api/token_created.html", {"token": token, "text": text})
    return render(request, "api/token_new.html", {"form": form}, status=400 if form.errors else 200)


@login_required
@require_POST
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Revoke one of one's own tokens."""
    token = get_object_or_404(ApiToken, pk=token_id, owner=customer(request))
    revoke(token)
    messages.success(request, f"The token {token.name} is revoked.")
    return redirect("api:tokens")
