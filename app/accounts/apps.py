"""Accounts: the user model. Registration, login and second factors are django-allauth's."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Configuration of the app."""

    name = "accounts"
