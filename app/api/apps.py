"""The REST API."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Configuration of the app."""

    name = "api"
    verbose_name = "API"
