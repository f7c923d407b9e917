"""Traders who make load: users with money and a token. The only part that needs the database."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from django.db import transaction
from django.utils import timezone

from accounts.made_up import DOMAIN, CustomersError, address, is_made_up
from accounts.models import User
from api.models import ApiToken
from api.tokens import issue
from ledger.models import Asset
from ledger.services.accounts import customer_accounts
from ledger.services.transfers import confirm_transfer, request_deposit

TOKEN_NAME: Final = "trade_load"  # noqa: S105 - not one, but what it is called
TOKENS_LIVE: Final = timedelta(days=1)
# Of each asset: plenty for days of load, so that no order fails for want of money.
WEALTH: Final = Decimal(10) ** 9


@dataclass(frozen=True)
class Trader:
    """Somebody who trades over the API."""

    username: str
    token: str


@transaction.atomic
def prepare(count: int) -> list[Trader]:
    """Make the traders load1, load2 and so on, or find them, see that they have money, and give them a token each.

    Raises:
        CustomersError: one of the names belongs to a customer.
    """
    assets = list(Asset.objects.all())
    # Tokens of loads that ended long ago; one that runs elsewhere keeps its own.
    old = ApiToken.objects.filter(name=TOKEN_NAME, created_at__lt=timezone.now() - TOKENS_LIVE, revoked_at=None)
    old.filter(owner__email__endswith=DOMAIN).update(revoked_at=timezone.now())
    return [_prepare(f"load{number}", assets) for number in range(1, count + 1)]


def _prepare(name: str, assets: Sequence[Asset]) -> Trader:
    # No password: nobody logs in as one of them.
    user, _ = User.objects.get_or_create(username=name, defaults={"email": address(name), "password": "!"})
    if not is_made_up(user):
        raise CustomersError(f"the name {name} belongs to a customer")
    for asset in assets:
        if (customer_accounts(user, asset).available.balance or 0) < WEALTH / 2:
            confirm_transfer(request_deposit(user, asset, WEALTH, f"load-{uuid.uuid4().hex}").pk)
    return Trader(name, issue(user, TOKEN_NAME, ApiToken.Scope.TRADE)[1])


def save(traders: Sequence[Trader], path: Path) -> None:
    """Write the traders with their tokens into a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump([asdict(trader) for trader in traders], file)


def load(path: Path) -> list[Trader]:
    """Read what save() wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        return [Trader(**item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a file of traders") from error
