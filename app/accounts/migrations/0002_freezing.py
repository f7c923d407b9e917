"""Accounts can be frozen."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add since when, and why."""

    dependencies: ClassVar = [("accounts", "0001_initial")]
    operations: ClassVar = [
        migrations.AlterModelOptions(
            name="user",
            options={
                "verbose_name": "user",
                "verbose_name_plural": "users",
                "permissions": [("freeze_user", "Can freeze and unfreeze accounts")],
            },
        ),
        migrations.AddField(
            model_name="user",
            name="frozen_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="user",
            name="frozen_reason",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=200),
        ),
    ]
