"""A customer's profile."""

from __future__ import annotations

from typing import Any, Final

from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import condition, require_GET, require_http_methods, require_POST

from accounts.customers import customer, customer_required
from accounts.profile import (
    CONTENT_TYPE,
    PictureError,
    StorageError,
    pictures_offered,
    read_picture,
    remove_picture,
    set_picture,
)

LIMIT_MIB: Final = settings.FILE_UPLOAD_MAX_MEMORY_SIZE // 2**20


class PictureForm(forms.Form):
    """A picture to upload."""

    picture = forms.FileField(
        label="New picture",
        help_text=f"JPEG, PNG, WebP or GIF, at most {LIMIT_MIB} MiB. Its middle is shown, as a square.",
        widget=forms.FileInput(attrs={"accept": "image/jpeg,image/png,image/webp,image/gif"}),
    )

    def __init__(self, *args: Any, too_large: bool = False, **kwargs: Any) -> None:
        """Say what is wrong if the file was so large that it wasn't even read."""
        super().__init__(*args, **kwargs)
        if too_large:
            self.fields["picture"].error_messages["required"] = f"The file is larger than {LIMIT_MIB} MiB."


@customer_required
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show the profile, or take a new picture."""
    form, status = PictureForm(), 200
    if request.method == "POST":
        if not pictures_offered():
            raise Http404
        too_large = int(request.META.get("CONTENT_LENGTH") or 0) > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        form, status = PictureForm(request.POST, request.FILES, too_large=too_large), 413 if too_large else 400
        if form.is_valid():
            try:
                set_picture(customer(request), form.cleaned_data["picture"])
            except PictureError as error:
                form.add_error("picture", str(error))
            except StorageError as error:
                form.add_error(None, str(error))
                status = 503
            else:
                messages.success(request, "This is your new picture.")
                return redirect("accounts:profile")
    context = {
        "form": form,
        "pictures_offered": pictures_offered(),
        "second_factor": is_mfa_enabled(customer(request)),
    }
    response = render(request, "accounts/profile.html", context, status=status)
    if status == 503:  # noqa: PLR2004 - the status of just before
        response.headers["Retry-After"] = str(settings.RETRY_AFTER_SECONDS)
    return response


@customer_required
@require_POST
def remove(request: HttpRequest) -> HttpResponse:
    """Remove the picture."""
    remove_picture(customer(request))
    messages.success(request, "Your picture is removed.")
    return redirect("accounts:profile")


def picture_tag(request: HttpRequest) -> str | None:
    """Return what changes with the picture: its name, which is never used twice."""
    name = customer(request).picture
    return f'"{name}"' if name else None


@customer_required
@require_GET
@condition(etag_func=picture_tag)
def picture(request: HttpRequest) -> HttpResponse:
    """Send the customer's own picture; there is no address of anybody else's."""
    try:
        content = read_picture(customer(request))
    except FileNotFoundError:
        raise Http404 from None
    except StorageError:
        return HttpResponse(status=503, headers={"Retry-After": str(settings.RETRY_AFTER_SECONDS)})
    # The browser may keep it, and asks each time whether it is still the one.
    headers = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    return HttpResponse(content, content_type=CONTENT_TYPE, headers=headers)
