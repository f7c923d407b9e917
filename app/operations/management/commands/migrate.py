"""Django's migrate, safe to run beside a live application and beside itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.commands import migrate
from django.db import connections

# Any number will do as long as nobody else in this database uses it.
ADVISORY_LOCK = 7_310_588_201


class Command(migrate.Command):
    """Waits for a migration that runs elsewhere, and gives up on a table lock it can't get soon.

    Queries queue up behind a migration that waits for a lock; failing after MIGRATE_LOCK_TIMEOUT_MS and being run
    again keeps the application served. A statement may take as long as it needs.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate under an advisory lock."""
        with connections[options["database"]].cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)")
            cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
            try:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [str(settings.MIGRATE_LOCK_TIMEOUT_MS)])
                super().handle(*args, **options)
            finally:
                if connections[options["database"]].is_usable():
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
