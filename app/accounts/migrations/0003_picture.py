"""Customers can have a picture."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the name under which it is stored."""

    dependencies: ClassVar = [("accounts", "0002_freezing")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="user",
            name="picture",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=100),
        ),
    ]
