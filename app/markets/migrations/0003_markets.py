"""The markets that a new exchange starts with."""

from decimal import Decimal
from typing import Any, ClassVar

from django.db import migrations

MARKETS = [
    ("BTC-USDC", "0.01", "0.0001"),
    ("ETH-USDC", "0.01", "0.0001"),
    ("ETH-BTC", "0.00001", "0.001"),
    ("USDC-EUR", "0.0001", "100"),
]


def add_markets(apps: Any, _schema_editor: Any) -> None:
    """Add what isn't there."""
    for code, tick, lot in MARKETS:
        base, quote = code.split("-")
        apps.get_model("markets", "Market").objects.get_or_create(
            code=code,
            defaults={
                "base_id": base,
                "quote_id": quote,
                "tick_size": Decimal(tick),
                "lot_size": Decimal(lot),
                "maker_fee": Decimal("0.001"),
                "taker_fee": Decimal("0.002"),
            },
        )


class Migration(migrations.Migration):
    """Add the markets; going back leaves them, since there may be orders."""

    dependencies: ClassVar = [("markets", "0002_guards"), ("ledger", "0004_usdc")]
    operations: ClassVar = [migrations.RunPython(add_markets, migrations.RunPython.noop)]
