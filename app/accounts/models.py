"""Who uses the exchange."""

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person with an account. Ours from the start, since Django can't exchange the model later."""

    # Since when support has stopped the account from trading and paying out, and why (for support's eyes).
    frozen_at = models.DateTimeField(null=True, blank=True, editable=False)
    frozen_reason = models.CharField(max_length=200, blank=True, db_default="", editable=False)
    # Under which name the picture is stored; empty: there is none.
    picture = models.CharField(max_length=100, blank=True, default="", db_default="", editable=False)

    class Meta(AbstractUser.Meta):
        permissions: ClassVar = [("freeze_user", "Can freeze and unfreeze accounts")]
