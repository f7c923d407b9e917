"""The table in which the versions that serve at the same time find each other's static files."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Static files of all versions that may be serving."""

    dependencies: ClassVar = [("operations", "0001_cache")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="StaticFile",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("content", models.BinaryField()),
                ("superseded_at", models.DateTimeField(null=True)),
            ],
        ),
    ]
