"""Makes the first administrator, from environment variables."""

from __future__ import annotations

import os
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from exchange.environment import Environment, EnvironmentErrors


class Command(BaseCommand):
    """Creates the administrator named by ADMIN_USERNAME unless there is one; changes nothing about one that exists."""

    help = "Create the administrator ADMIN_USERNAME with ADMIN_PASSWORD and ADMIN_EMAIL, unless that name exists."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Create the administrator."""
        env = Environment(os.environ)
        username = env.text("ADMIN_USERNAME", "admin", pattern=r"[\w.@+-]{3,150}", allowed="letters, digits and @.+-_")
        password = env.text("ADMIN_PASSWORD", allowed="the administrator's password", secret=True)
        email = env.text("ADMIN_EMAIL", "", pattern=r"[^@\s]+@[^@\s]+", allowed="a mail address")
        try:
            env.check()
        except EnvironmentErrors as error:
            raise CommandError(str(error)) from None
        users = get_user_model().objects
        with transaction.atomic():
            if users.filter(username=username).exists():
                self.stdout.write(f"{username} exists; nothing changed")
                return
            try:
                validate_password(password)
            except ValidationError as error:
                raise CommandError(f"ADMIN_PASSWORD is refused: {' '.join(error.messages)}") from None
            user = users.create_superuser(username=username, email=email, password=password)
            if email:
                EmailAddress.objects.create(user=user, email=email.lower(), primary=True, verified=True)
        self.stdout.write(f"{username} created")
