"""The table of Django's database cache: made here, so that `migrate` is all there is to run."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Create the cache table."""

    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.RunSQL(
            sql="""
                CREATE TABLE operations_cache (
                    cache_key varchar(255) PRIMARY KEY,
                    value text NOT NULL,
                    expires timestamptz NOT NULL
                );
                CREATE INDEX operations_cache_expires ON operations_cache (expires);
            """,
            reverse_sql="DROP TABLE operations_cache;",
        ),
    ]
