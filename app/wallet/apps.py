"""The pages on which a customer sees and moves what is theirs."""

from django.apps import AppConfig


class WalletConfig(AppConfig):
    """Configuration of the app."""

    name = "wallet"
