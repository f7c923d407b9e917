"""Users in the admin, and freezing their accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse

from accounts.freezing import unfreeze
from accounts.models import User


class FreezeForm(forms.Form):
    """Why."""

    reason = forms.CharField(max_length=200, help_text="For support's eyes; the customer doesn't see it.")


@admin.register(User)
class ExchangeUserAdmin(UserAdmin):  # type: ignore[type-arg]
    """Users. Whoever may freeze them needs no right to change anything else about them."""

    list_display = ("username", "email", "first_name", "last_name", "is_staff", "frozen_at")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups", ("frozen_at", admin.EmptyFieldListFilter))
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Freezing", {"fields": ("frozen_at", "frozen_reason")}))
    readonly_fields = ("frozen_at", "frozen_reason")
    change_form_template = "admin/accounts/user/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the page that freezes."""
        view = self.admin_site.admin_view(self.freeze_view)
        return [path("<int:user_id>/freeze/", view, name="accounts_user_freeze"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Offer it to those who may."""
        context["may_freeze"] = request.user.has_perm("accounts.freeze_user")
        return super().render_change_form(request, context, *args, **kwargs)

    def freeze_view(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """Freeze an account, with a reason, or let it go on."""
        from markets.services.freezing import freeze_account  # noqa: PLC0415 - markets build on accounts

        if not request.user.has_perm("accounts.freeze_user"):
            raise PermissionDenied
        customer = get_object_or_404(User, pk=user_id)
        form = FreezeForm(request.POST or None)
        if request.method == "POST" and (customer.frozen_at or form.is_valid()):
            if customer.frozen_at:
                unfreeze(customer.pk)
                said, text = f"The account of {customer} is no longer frozen.", "unfrozen"
            else:
                cancelled = freeze_account(customer, form.cleaned_data["reason"])
                said = f"The account of {customer} is frozen; {cancelled} of its orders were cancelled."
                text = f"frozen: {form.cleaned_data['reason']}"
            self.log_change(request, customer, text)
            messages.success(request, said)
            return redirect(reverse("admin:accounts_user_change", args=[customer.pk]))
        context = {**self.admin_site.each_context(request), "customer": customer, "form": form, "opts": self.opts}
        return render(request, "admin/accounts/user/freeze.html", context)
