"""Mail that waits in the database until the worker has handed it to the mail server."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Configuration of the app."""

    name = "outbox"
