"""Where the worker remembers up to which trade candles are made."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the table."""

    dependencies: ClassVar = [("markets", "0003_markets")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="CandleProgress",
            fields=[
                (
                    "market",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="markets.market",
                    ),
                ),
                ("trade_id", models.BigIntegerField(default=0)),
            ],
        ),
    ]
