"""Markets: orders, matching, trades, and what follows from them."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class MarketsConfig(AppConfig):
    """Configuration of the app."""

    name = "markets"

    def ready(self) -> None:
        """Add the markets' invariants to those of the books, and make the support group when all tables are there."""
        from accounts.support import make_group  # noqa: PLC0415 - after the models are loaded
        from ledger.checks import ALL_INVARIANTS  # noqa: PLC0415
        from markets.checks import INVARIANTS  # noqa: PLC0415

        ALL_INVARIANTS.update(INVARIANTS)
        post_migrate.connect(make_group, sender=self)
