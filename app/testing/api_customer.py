"""Makes a customer with 100 BTC and prints a token of theirs: `python -m testing.api_customer <name>`."""

from __future__ import annotations

import os
import sys
from decimal import Decimal

import django


def main() -> None:
    """Make the customer."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    django.setup()
    from accounts.models import User  # noqa: PLC0415 - after django.setup()
    from api.tokens import issue  # noqa: PLC0415
    from ledger.models import Asset  # noqa: PLC0415
    from ledger.services.transfers import confirm_transfer, request_deposit  # noqa: PLC0415

    user = User.objects.create_user(username=sys.argv[1], password="correct-horse-9")  # noqa: S106 - of a test
    confirm_transfer(request_deposit(user, Asset.objects.get(pk="BTC"), Decimal(100), "start").pk)
    print(issue(user, "tests")[1])  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
