"""A quote asset fine enough for prices with cents and small lots."""

from typing import Any, ClassVar

from django.db import migrations


def add_asset(apps: Any, _schema_editor: Any) -> None:
    """Add it, if it isn't there."""
    asset_model, account_model = apps.get_model("ledger", "Asset"), apps.get_model("ledger", "Account")
    asset, _ = asset_model.objects.get_or_create(code="USDC", defaults={"name": "USD Coin", "decimals": 6})
    for kind in ("rail", "fees"):
        account_model.objects.get_or_create(asset=asset, kind=kind, owner=None)


class Migration(migrations.Migration):
    """Add the asset; going back leaves it, since something may be owned in it."""

    dependencies: ClassVar = [("ledger", "0003_assets")]
    operations: ClassVar = [migrations.RunPython(add_asset, migrations.RunPython.noop)]
