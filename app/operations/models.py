"""What belongs to no part of the exchange."""

from __future__ import annotations

from django.db import models


class StaticFile(models.Model):
    """A static file of some version, for the time in which two versions serve (operations/static.py)."""

    name = models.CharField(max_length=255, primary_key=True)
    content = models.BinaryField()
    # Since when no newer version has it; never: the newest one does.
    superseded_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        """Return the name."""
        return self.name
