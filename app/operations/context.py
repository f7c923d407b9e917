"""What every template may ask about this process."""

from django.conf import settings
from django.http import HttpRequest


def version(_request: HttpRequest) -> dict[str, str]:
    """Return what was deployed; empty if nobody said it."""
    return {"app_version": settings.APP_VERSION}
