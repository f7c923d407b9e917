"""The double-entry ledger: what everybody owns, and every movement that led there."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Configuration of the app."""

    name = "ledger"
