"""The group for support staff: look at everything, change nothing but whether an account is frozen."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

GROUP: Final = "Support"
APPS: Final = ("accounts", "ledger", "markets")


def make_group(**_kwargs: Any) -> None:
    """Make the group with its permissions, unless it is there; called after migrations."""
    if Group.objects.filter(name=GROUP).exists():
        return
    for label in APPS:
        create_permissions(apps.get_app_config(label), verbosity=0)
    group = Group.objects.create(name=GROUP)
    allowed = Permission.objects.filter(content_type__app_label__in=APPS, codename__startswith="view_")
    group.permissions.set([*allowed, Permission.objects.get(codename="freeze_user")])
