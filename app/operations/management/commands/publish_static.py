"""Puts this version's static files where the other versions find them. Run before its first pod starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management.base import BaseCommand, CommandError

from operations.static import publish


class Command(BaseCommand):
    """Publishes the collected files whose names carry a digest; run again it changes nothing."""

    help = "Keep this version's static files in the database, for pages that reach a pod of another version."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Publish."""
        collected = set(getattr(staticfiles_storage, "hashed_files", {}).values())
        # No page asks for a source map, and they are more than half of all.
        names = {name for name in collected if not name.endswith(".map")}
        if not names:
            raise CommandError(
                f"{settings.STATIC_ROOT} has no manifest of static files: expected one of collectstatic's"
            )
        new, forgotten = publish({name: (Path(settings.STATIC_ROOT) / name).read_bytes() for name in sorted(names)})
        self.stdout.write(f"{len(names)} static files, {new} of them new; {forgotten} of former versions forgotten")
