"""The markets' tables. What must always hold is enforced by the database: see migrations/0002_guards.py.

A market trades a base asset for a quote asset. Ticks and lots are chosen so that price times quantity is always a whole
number of the quote's smallest units: no trade is ever rounded (fees are, in the customer's favour).
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from ledger.models import MAX_DECIMALS, MAX_DIGITS, Asset, Hold, Movement


class Market(models.Model):
    """What is traded for what, in which steps, at which fees."""

    code = models.CharField(max_length=21, primary_key=True)
    base = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    quote = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    # Prices are multiples of a tick, in the quote asset for one of the base; quantities are multiples of a lot.
    tick_size = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    lot_size = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    # Shares of what each side receives: 0.001 is 0.1 %.
    maker_fee = models.DecimalField(max_digits=6, decimal_places=5)
    taker_fee = models.DecimalField(max_digits=6, decimal_places=5)
    is_open = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["code"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(tick_size__gt=0, lot_size__gt=0), name="market_steps"),
            models.CheckConstraint(
                condition=Q(maker_fee__gte=0, maker_fee__lt=Decimal("0.1"), taker_fee__gte=0)
                & Q(taker_fee__lt=Decimal("0.1")),
                name="market_fees",
            ),
            models.CheckConstraint(condition=~Q(base=F("quote")), name="market_of_two_assets"),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def price_decimals(self) -> int:
        """How many decimals a price is written with."""
        return decimals_of(self.tick_size)

    @property
    def quantity_decimals(self) -> int:
        """How many decimals a quantity is written with."""
        return decimals_of(self.lot_size)


def decimals_of(step: Decimal) -> int:
    """Return how many decimals a multiple of the step can have."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


class Order(models.Model):
    """What a customer wants to buy or sell. Ids grow in the order of arrival: that is time priority."""

    class Side(models.TextChoices):
        """Which way the base asset goes."""

        BUY = "buy", "Buy"
        SELL = "sell", "Sell"

    class Kind(models.TextChoices):
        """Whether it names a price and can wait."""

        LIMIT = "limit", "Limit"
        MARKET = "market", "Market"

    class Status(models.TextChoices):
        """Whether it still waits in the book."""

        OPEN = "open", "Open"
        FILLED = "filled", "Filled"
        CANCELLED = "cancelled", "Cancelled"

    class Reason(models.TextChoices):
        """Why the rest of an order was cancelled."""

        REQUESTED = "requested", "cancelled by its owner"
        NO_LIQUIDITY = "no_liquidity", "nobody offered more"
        SELF_TRADE = "self_trade", "it would have met an order of the same owner"
        FILL_LIMIT = "fill_limit", "it met more orders than one request may"
        FROZEN = "frozen", "the account was frozen"

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="orders", db_index=False)
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="orders", db_index=False)
    side = models.CharField(max_length=4, choices=Side.choices)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    price = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS, null=True)
    quantity = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    filled = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS, default=Decimal(0))
    status = models.CharField(max_length=9, choices=Status.choices)
    reason = models.CharField(max_length=12, choices=Reason.choices, blank=True)
    # What backs an order that waits or waited: price times quantity of the quote asset, or quantity of the base.
    hold = models.OneToOneField(Hold, null=True, on_delete=models.PROTECT, related_name="order")
    # Chosen by the client; the same request sent again finds the first.
    idempotency_key = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="order_once"),
            models.CheckConstraint(condition=Q(side__in=["buy", "sell"]), name="order_side"),
            models.CheckConstraint(
                # Without the second condition a limit order without a price passes: NULL is not false.
                condition=Q(kind="limit", price__gt=0, price__isnull=False) | Q(kind="market", price__isnull=True),
                name="order_price",
            ),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, filled__gte=0, filled__lte=F("quantity")), name="order_quantity"
            ),
            models.CheckConstraint(
                condition=Q(
                    status="open",
                    kind="limit",
                    hold__isnull=False,
                    closed_at__isnull=True,
                    reason="",
                    filled__lt=F("quantity"),
                )
                | Q(status="filled", closed_at__isnull=False, reason="", filled=F("quantity"))
                | Q(status="cancelled", closed_at__isnull=False, filled__lt=F("quantity")) & ~Q(reason=""),
                name="order_status",
            ),
        ]
        indexes: ClassVar = [
            # The two sides of the book, best first.
            models.Index(fields=["market", "price", "id"], condition=Q(status="open", side="sell"), name="order_asks"),
            models.Index(fields=["market", "-price", "id"], condition=Q(status="open", side="buy"), name="order_bids"),
            models.Index(fields=["user", "-id"], name="order_of_user"),
            models.Index(fields=["user", "market", "-id"], condition=Q(status="open"), name="order_open_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} on {self.market_id} at {self.price or 'market'}: {self.status}"

    @property
    def remaining(self) -> Decimal:
        """What is not filled."""
        return self.quantity - self.filled


class Trade(models.Model):
    """A meeting of two orders, at the price of the one that waited (the maker's)."""

    id = models.BigAutoField(primary_key=True)
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="trades", db_index=False)
    price = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    quantity = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    taker_side = models.CharField(max_length=4, choices=Order.Side.choices)
    taker_order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="taken")
    maker_order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="made")
    # In what each of them receives: the base asset for the buyer, the quote asset for the seller.
    taker_fee = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    maker_fee = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    movement = models.OneToOneField(Movement, on_delete=models.PROTECT, related_name="trade")
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(price__gt=0, quantity__gt=0), name="trade_amounts"),
            models.CheckConstraint(condition=Q(taker_fee__gte=0, maker_fee__gte=0), name="trade_fees"),
            models.CheckConstraint(condition=Q(taker_side__in=["buy", "sell"]), name="trade_side"),
        ]
        indexes: ClassVar = [models.Index(fields=["market", "-id"], name="trade_of_market")]

    def __str__(self) -> str:
        return f"{self.quantity} at {self.price} on {self.market_id}"


class Candle(models.Model):
    """What happened on a market in one minute. Made from trades by the worker; longer ones are added up from these."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="candles", db_index=False)
    start = models.DateTimeField()
    open = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    high = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    low = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    close = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    # Of the base asset.
    volume = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    trades = models.PositiveIntegerField()

    class Meta:
        ordering: ClassVar = ["market", "start"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["market", "start"], name="candle_once")]

    def __str__(self) -> str:
        return f"{self.market_id} {self.start:%Y-%m-%d %H:%M}"


class CandleProgress(models.Model):
    """Up to which trade the candles of a market are made; changed in the same transaction as the candles."""

    market = models.OneToOneField(Market, on_delete=models.PROTECT, primary_key=True, related_name="+")
    trade_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.market_id}: trade {self.trade_id}"
