"""Users who are no customers: those of a demo, and those who make load."""

from __future__ import annotations

from typing import Final

from django.db import connection

from accounts.models import User

# Nobody's mail: the domain is reserved for what doesn't exist (RFC 2606).
DOMAIN: Final = ".invalid"


class CustomersError(Exception):
    """There are real customers here, or not where they were expected; the message says what to do."""


def address(name: str) -> str:
    """Return the mail address of a made-up user."""
    return f"{name}@made-up{DOMAIN}"


def is_made_up(user: User) -> bool:
    """Say whether a user was made up."""
    return user.email.endswith(DOMAIN)


def refuse_where_customers_are(into: str | None) -> None:
    """Raise CustomersError if the database has real customers, unless `into` is its name.

    Made-up money must not buy what is theirs, and what is added can never be removed.
    """
    name = connection.settings_dict["NAME"]
    if into is not None and into != name:
        raise CustomersError(f"--into names {into!r}, but this is the database {name!r}")
    customers = User.objects.filter(is_staff=False).exclude(email__endswith=DOMAIN).count()
    if customers and into is None:
        raise CustomersError(
            f"the database {name!r} has {customers} customers who aren't made up: made-up money would trade with "
            f"theirs, and what is added can never be removed; say --into {name} if you mean it"
        )
