"""A limit order has a price: the constraint before let NULL pass."""

from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Replace the constraint."""

    dependencies: ClassVar = [("markets", "0005_backed_orders")]
    operations: ClassVar = [
        migrations.RemoveConstraint(model_name="order", name="order_price"),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=Q(kind="limit", price__gt=0, price__isnull=False) | Q(kind="market", price__isnull=True),
                name="order_price",
            ),
        ),
    ]
