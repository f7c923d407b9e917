"""What every template may ask about this installation."""

from django.conf import settings
from django.http import HttpRequest


def features(_request: HttpRequest) -> dict[str, bool]:
    """Return which features are on."""
    return {"simulated_rails": settings.SIMULATED_RAILS, "password_reset_by_mail": settings.PASSWORD_RESET_BY_MAIL}
