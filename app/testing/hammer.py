"""One of several processes that move money at the same time: `python -m testing.hammer <what> <seed>`.

It says `ready`, waits for a line, does its work and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import uuid
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from accounts.models import User

TRADERS = 4
STEPS = 40


def trader(number: int) -> User:
    """Return a customer, made by whoever comes first."""
    from accounts.models import User  # noqa: PLC0415 - after django.setup()

    return User.objects.get_or_create(username=f"trader{number}")[0]


def prepare(_seed: int) -> Counter[str]:
    """Give each trader 100 EUR."""
    from ledger.models import Asset  # noqa: PLC0415
    from ledger.services.transfers import confirm_transfer, request_deposit  # noqa: PLC0415

    for number in range(TRADERS):
        user = trader(number)
        confirm_transfer(request_deposit(user, Asset.objects.get(pk="EUR"), Decimal(100), "prepare").pk)
    return Counter()


def identical(_seed: int) -> Counter[str]:
    """Send one and the same request for all the money; every process sends it."""
    from ledger.models import Asset  # noqa: PLC0415
    from ledger.services.transfers import request_withdrawal  # noqa: PLC0415

    user, asset = trader(0), Asset.objects.get(pk="EUR")
    answers = {request_withdrawal(user, asset, Decimal(100), "IBAN", "identical").pk for _ in range(STEPS)}
    return Counter(str(answer) for answer in answers)


def overdraw(_seed: int) -> Counter[str]:
    """Withdraw 1 EUR again and again, until long after the money is gone."""
    from ledger.errors import InsufficientFunds  # noqa: PLC0415
    from ledger.models import Asset  # noqa: PLC0415
    from ledger.services.transfers import request_withdrawal  # noqa: PLC0415

    user, asset = trader(1), Asset.objects.get(pk="EUR")
    result: Counter[str] = Counter()
    for _ in range(STEPS):
        try:
            request_withdrawal(user, asset, Decimal(1), "IBAN", uuid.uuid4().hex)
            result["taken"] += 1
        except InsufficientFunds:
            result["refused"] += 1
    return result


def mixed(seed: int) -> Counter[str]:
    """Do anything to anybody, in assets that nobody has an account in yet."""
    from ledger.errors import LedgerError  # noqa: PLC0415
    from ledger.models import Asset, Transfer  # noqa: PLC0415
    from ledger.services import transfers  # noqa: PLC0415

    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    assets = list(Asset.objects.filter(pk__in=["BTC", "ETH"]))
    result: Counter[str] = Counter()
    for _ in range(STEPS):
        what = chance.choice(["deposit", "withdraw", "confirm", "confirm", "reject"])
        user, asset, amount = trader(chance.randrange(TRADERS)), chance.choice(assets), Decimal(chance.randint(1, 5))
        pending = list(Transfer.objects.filter(state="pending", asset__in=assets).values_list("pk", flat=True)[:5])
        try:
            if what == "deposit" or (what in {"confirm", "reject"} and not pending):
                transfers.request_deposit(user, asset, amount, uuid.uuid4().hex)
            elif what == "withdraw":
                transfers.request_withdrawal(user, asset, amount, "IBAN", uuid.uuid4().hex)
            elif what == "confirm":
                transfers.confirm_transfer(chance.choice(pending))
            else:
                transfers.reject_transfer(chance.choice(pending))
            result[what] += 1
        except LedgerError:
            result["refused"] += 1
    return result


WORK = {"prepare": prepare, "identical": identical, "overdraw": overdraw, "mixed": mixed}


def main() -> None:
    """Wait for the signal and work."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    django.setup()
    print("ready", flush=True)  # noqa: T201 - the protocol with the test
    sys.stdin.readline()
    print(json.dumps(WORK[sys.argv[1]](int(sys.argv[2]))), flush=True)  # noqa: T201 - the protocol with the test


if __name__ == "__main__":
    main()
