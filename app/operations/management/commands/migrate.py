"""Django's migrate, safe to run beside a live application and beside itself."""

from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings
from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

# Any number will do as long as nobody else in this database uses it.
ADVISORY_LOCK = 7_310_588_201
# Who was at it for longer than a migration waits, and so may hold what it wanted; without what others wrote in it.
OTHERS = """
    SELECT pid, coalesce(application_name, ''), state, extract(epoch FROM clock_timestamp() - xact_start)::int
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND xact_start < clock_timestamp() - %s * interval '1 ms'
    ORDER BY xact_start LIMIT 5
"""


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
            except OperationalError as error:
                if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                    raise
                raise CommandError(self.locked_out(options["database"])) from error
            finally:
                if connections[options["database"]].is_usable():
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])

    def locked_out(self, database: str) -> str:
        """Say that a table was in use for too long, and by whom it may have been."""
        with connections[database].cursor() as cursor:
            cursor.execute(OTHERS, [settings.MIGRATE_LOCK_TIMEOUT_MS])
            found = [
                f"pid {pid} ({name or 'no name'}, {state}) for {seconds} s"
                for pid, name, state, seconds in cursor.fetchall()
            ]
        return (
            f"a migration got no lock on its table within {settings.MIGRATE_LOCK_TIMEOUT_MS} ms"
            " (MIGRATE_LOCK_TIMEOUT_MS) and was taken back; those that came before it in this run stay, and the former"
            " version goes on. Run it again once these transactions have ended:"
            f" {'; '.join(found) or 'all have by now'}"
        )
