"""The assets that a new exchange starts with, and the house's accounts in them."""

from typing import Any, ClassVar

from django.db import migrations

ASSETS = [("BTC", "Bitcoin", 8), ("ETH", "Ether", 18), ("EUR", "Euro", 2)]


def add_assets(apps: Any, _schema_editor: Any) -> None:
    """Add what isn't there."""
    asset_model, account_model = apps.get_model("ledger", "Asset"), apps.get_model("ledger", "Account")
    for code, name, decimals in ASSETS:
        asset, _ = asset_model.objects.get_or_create(code=code, defaults={"name": name, "decimals": decimals})
        for kind in ("rail", "fees"):
            account_model.objects.get_or_create(asset=asset, kind=kind, owner=None)


class Migration(migrations.Migration):
    """Add the assets; going back leaves them, since something may be owned in them."""

    dependencies: ClassVar = [("ledger", "0002_guards")]
    operations: ClassVar = [migrations.RunPython(add_assets, migrations.RunPython.noop)]
