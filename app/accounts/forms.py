"""django-allauth's forms, where ours differ."""

from typing import Any

from allauth.account import forms
from django.conf import settings


class LoginForm(forms.LoginForm):
    """Offers a password reset only where mail can be sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the link away if it leads nowhere."""
        super().__init__(*args, **kwargs)
        if not settings.PASSWORD_RESET_BY_MAIL:
            self.fields["password"].help_text = ""
