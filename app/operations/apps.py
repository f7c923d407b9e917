"""What every Django service on the platform has: probes, logs, metrics, error pages, commands."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Configuration of the app."""

    name = "operations"
