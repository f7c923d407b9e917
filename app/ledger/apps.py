"""The double-entry ledger: what everybody owns, and every movement that led there."""

from __future__ import annotations

import decimal
from typing import Final

from django.apps import AppConfig

# Two numbers of numeric(38, 18) multiplied have 76 digits, times a fee's rate 82.
PRECISION: Final = 100


class LedgerConfig(AppConfig):
    """Configuration of the app."""

    name = "ledger"

    def ready(self) -> None:
        """Compute exactly, in every thread: Python's 28 digits round what a numeric(38, 18) holds, without a word."""
        decimal.DefaultContext.prec = PRECISION
        decimal.setcontext(decimal.DefaultContext.copy())
