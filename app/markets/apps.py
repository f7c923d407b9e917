"""Markets: orders, matching, trades, and what follows from them."""

from django.apps import AppConfig


class MarketsConfig(AppConfig):
    """Configuration of the app."""

    name = "markets"

    def ready(self) -> None:
        """Add the markets' invariants to those of the books."""
        from ledger.checks import ALL_INVARIANTS  # noqa: PLC0415 - after the models are loaded
        from markets.checks import INVARIANTS  # noqa: PLC0415

        ALL_INVARIANTS.update(INVARIANTS)
