"""Fills an empty exchange with something to look at."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from django.utils import timezone

from accounts.made_up import CustomersError, address, is_made_up, refuse_where_customers_are
from accounts.models import User
from exchange.environment import Environment, EnvironmentErrors
from ledger.errors import LedgerError
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.candles import make_candles
from markets.demo import LEVELS, STARTS, moments, past, resting, write_past
from markets.models import Market, Order, Trade
from markets.services.orders import place_order
from operations.arguments import whole

DEPOSITS = {"BTC": 1_000, "ETH": 20_000, "USDC": 50_000_000, "EUR": 20_000_000}
# Any number will do as long as nobody else in this database uses it.
ADVISORY_LOCK = 7_310_588_203


class Command(BaseCommand):
    """Makes traders, a past and a book; a second run adds nothing, an interrupted one is completed."""

    help = (
        "Make traders (demo1 and so on), a past of made-up prices and a book of waiting orders. The traders' password "
        "comes from --password-file or DEMO_PASSWORD, else one is made and printed once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--seed", type=whole(0, 2**31), default=1, help="another number, another past (1)")
        parser.add_argument("--days", type=whole(1, 90), default=30, help="how far the past reaches back (30)")
        parser.add_argument("--traders", type=whole(2, 20), default=4, help="how many (4)")
        parser.add_argument(
            "--market", action="append", choices=sorted(STARTS), help="again for each (BTC-USDC and ETH-USDC)"
        )
        parser.add_argument("--password-file", type=Path, metavar="FILE", help="holds the traders' password")
        parser.add_argument(
            "--into", metavar="DATABASE", help="its name, to do it though customers use it: the past can't be removed"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Fill it."""
        password = self._password(options["password_file"])
        try:
            refuse_where_customers_are(options["into"])
        except CustomersError as error:
            raise CommandError(str(error)) from None
        codes = options["market"] or ["BTC-USDC", "ETH-USDC"]
        markets = list(Market.objects.filter(pk__in=codes, is_open=True).select_related("base", "quote"))
        if missing := set(codes) - {market.pk for market in markets}:
            raise CommandError(f"no open market: {', '.join(sorted(missing))}")
        self._lock()
        # Hundreds of orders a second are nothing to read.
        for name in ("markets", "ledger"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            traders = self._traders(options["traders"], password)
            for market in markets:
                self._fill(market, traders, options["seed"], options["days"])
        except LedgerError as error:
            raise CommandError(f"not finished, run it again: {error}") from error
        make_candles()

    def _lock(self) -> None:
        """Keep out another one; the lock ends with the connection."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
            if not cursor.fetchone()[0]:
                raise CommandError("another seed_demo is at work in this database")

    def _password(self, file: Path | None) -> str | None:
        env = Environment(dict(os.environ) | ({"DEMO_PASSWORD_FILE": str(file)} if file else {}))
        password = env.text("DEMO_PASSWORD", "", secret=True)
        try:
            env.check()
        except EnvironmentErrors as error:
            raise CommandError(str(error)) from None
        if not password:
            if file:
                raise CommandError(f"--password-file: {file} is empty")
            return None
        try:
            validate_password(password)
        except ValidationError as error:
            raise CommandError(f"the password is refused: {' '.join(error.messages)}") from None
        return password

    @transaction.atomic
    def _traders(self, count: int, password: str | None) -> Sequence[User]:
        names = [f"demo{number}" for number in range(1, count + 1)]
        known = {user.username: user for user in User.objects.filter(username__in=names)}
        for user in known.values():
            if not is_made_up(user):
                raise CommandError(f"the name {user.username} belongs to a customer")
        missing = [name for name in names if name not in known]
        if missing:
            made = password is None
            password = password or secrets.token_urlsafe(12)
            for name in missing:
                known[name] = User.objects.create_user(username=name, email=address(name), password=password)
            self.stdout.write(f"made {', '.join(missing)}" + (f" with the password {password}" if made else ""))
        for asset in Asset.objects.filter(pk__in=DEPOSITS):
            for user in known.values():
                deposit = request_deposit(user, asset, Decimal(DEPOSITS[asset.pk]), f"demo-{asset.pk}")
                confirm_transfer(deposit.pk)
        return [known[name] for name in names]

    def _fill(self, market: Market, traders: Sequence[User], seed: int, days: int) -> None:
        """Write the past and the book of one market, as far as they aren't there."""
        orders = Order.objects.filter(market=market)
        key = f"demo-{market.pk}-{seed}-{days}-{len(traders)}"
        begun = orders.filter(user__in=traders, idempotency_key__startswith=f"{key}-").order_by("pk").first()
        if orders.exists() and begun is None:
            self.stdout.write(f"{market.pk}: has another past already; nothing added")
            return
        if orders.filter(idempotency_key=f"{key}-book-{2 * LEVELS - 1}").exists():
            self.stdout.write(f"{market.pk}: has this past already; nothing added")
            return
        before = orders.count()
        # What was interrupted goes on at the times at which it would have been.
        now = timezone.now()
        end = now if begun is None else begun.created_at + (now - moments(now, days)[0])
        last = write_past(market, traders, past(market, seed, end, days), key)
        for number, request in enumerate(resting(market, seed, last)):
            place_order(traders[number % len(traders)], request, f"{key}-book-{number}")
        trades = Trade.objects.filter(market=market).count()
        self.stdout.write(
            f"{market.pk}: {orders.count() - before} orders added; {trades} trades, last price {last.normalize():f}"
        )
