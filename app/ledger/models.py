"""The ledger's tables. What must always hold is enforced by the database: see migrations/0002_guards.py.

A movement is a set of postings that sums to zero per asset, and never changes. A customer has two accounts per asset,
what is available and what is held; a hold says what for. Balances of customers are kept in step by the database
whenever postings are written; house accounts (the rails, fees) take part in most movements and keep no balance, since
one row that everybody updates would make everybody wait: theirs is the sum of their postings.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import ClassVar, Final

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

# numeric(38, 18): the decimals of the finest asset, and 20 digits before them.
MAX_DIGITS: Final = 38
MAX_DECIMALS: Final = 18


class Asset(models.Model):
    """Something that can be owned, and how finely it divides."""

    code = models.CharField(max_length=10, primary_key=True)
    name = models.CharField(max_length=50)
    decimals = models.PositiveSmallIntegerField(validators=[MaxValueValidator(MAX_DECIMALS)])

    class Meta:
        ordering: ClassVar = ["code"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(code__regex=r"^[A-Z][A-Z0-9]{1,9}$"), name="asset_code"),
            models.CheckConstraint(condition=Q(decimals__lte=MAX_DECIMALS), name="asset_decimals"),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def unit(self) -> Decimal:
        """The smallest amount."""
        return Decimal(1).scaleb(-self.decimals)


class Account(models.Model):
    """Where postings go to: one per customer, asset and kind, or one of the house."""

    class Kind(models.TextChoices):
        """What an account is for."""

        AVAILABLE = "available", "available"
        HELD = "held", "held"
        RAIL = "rail", "outside world"
        FEES = "fees", "fees"

    CUSTOMER_KINDS: ClassVar = (Kind.AVAILABLE, Kind.HELD)

    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="ledger_accounts"
    )
    balance = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS, null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=["available", "held", "rail", "fees"]), name="account_kind"),
            models.CheckConstraint(
                condition=Q(kind__in=["available", "held"], owner__isnull=False, balance__isnull=False)
                | Q(kind__in=["rail", "fees"], owner__isnull=True, balance__isnull=True),
                name="account_of_customer_or_house",
            ),
            models.CheckConstraint(condition=Q(balance__isnull=True) | Q(balance__gte=0), name="account_not_overdrawn"),
            models.UniqueConstraint(fields=["owner", "asset", "kind"], nulls_distinct=False, name="account_once"),
        ]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.kind} of {self.owner_id or 'the house'}"


class Hold(models.Model):
    """A part of a customer's held balance, and what it is for. `remaining` is kept in step by the database."""

    class Purpose(models.TextChoices):
        """What is waited for."""

        WITHDRAWAL = "withdrawal", "withdrawal"
        ORDER = "order", "order"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="holds")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    remaining = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS, default=Decimal(0))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(remaining__gte=0), name="hold_not_overdrawn"),
            models.CheckConstraint(condition=Q(purpose__in=["withdrawal", "order"]), name="hold_purpose"),
        ]

    def __str__(self) -> str:
        return f"{self.remaining} for {self.purpose}"


class Movement(models.Model):
    """One thing that happened, as postings that sum to zero per asset."""

    class Kind(models.TextChoices):
        """What happened."""

        DEPOSIT = "deposit", "Deposit"
        WITHDRAWAL = "withdrawal", "Withdrawal"
        HOLD = "hold", "Held"
        RELEASE = "release", "Released"
        TRADE = "trade", "Trade"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # Names the cause, once: the same movement asked for again finds the first.
    key = models.CharField(max_length=100, unique=True)
    # How many postings belong to it, so that none can be added later.
    lines = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(lines__gte=2), name="movement_has_two_sides"),
            models.CheckConstraint(
                condition=Q(kind__in=["deposit", "withdrawal", "hold", "release", "trade"]), name="movement_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def changes_total(self) -> bool:
        """Whether anybody owns more or less after it, rather than the same on another account."""
        return self.kind not in {self.Kind.HOLD, self.Kind.RELEASE}


class Posting(models.Model):
    """One line of a movement: an account gains or loses."""

    id = models.BigAutoField(primary_key=True)
    movement = models.ForeignKey(Movement, on_delete=models.PROTECT, related_name="postings", db_index=False)
    line = models.PositiveSmallIntegerField()
    # The database's foreign keys are the pairs (account, asset) and (hold, account): see migrations/0002_guards.py.
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="postings", db_index=False, db_constraint=False
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    amount = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    hold = models.ForeignKey(
        Hold, null=True, on_delete=models.PROTECT, related_name="postings", db_index=False, db_constraint=False
    )

    class Meta:
        ordering: ClassVar = ["movement_id", "line"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["movement", "line"], name="posting_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="posting_moves_something"),
            models.CheckConstraint(condition=Q(line__gte=1), name="posting_line"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "-id"], name="posting_of_account"),
            models.Index(fields=["hold"], condition=Q(hold__isnull=False), name="posting_of_hold"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.asset_id}"


class Transfer(models.Model):
    """A deposit from, or a withdrawal to, the outside world."""

    class Direction(models.TextChoices):
        """Which way it goes."""

        DEPOSIT = "deposit", "Deposit"
        WITHDRAWAL = "withdrawal", "Withdrawal"

    class State(models.TextChoices):
        """What the rail said."""

        PENDING = "pending", "Pending"
        CONFIRMED = "confirmed", "Confirmed"
        REJECTED = "rejected", "Rejected"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="transfers", db_index=False
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    direction = models.CharField(max_length=10, choices=Direction.choices)
    amount = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=MAX_DECIMALS)
    # Where a withdrawal goes to.
    destination = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    hold = models.OneToOneField(Hold, null=True, on_delete=models.PROTECT, related_name="transfer")
    # Chosen by the client; the same request sent again finds the first.
    idempotency_key = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="transfer_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="transfer_amount"),
            models.CheckConstraint(condition=Q(direction__in=["deposit", "withdrawal"]), name="transfer_direction"),
            models.CheckConstraint(
                condition=Q(state="pending", decided_at__isnull=True)
                | Q(state__in=["confirmed", "rejected"], decided_at__isnull=False),
                name="transfer_state",
            ),
            models.CheckConstraint(
                condition=Q(direction="withdrawal", hold__isnull=False) & ~Q(destination="")
                | Q(direction="deposit", hold__isnull=True, destination=""),
                name="transfer_hold",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["user", "-created_at"], name="transfer_of_user")]

    def __str__(self) -> str:
        return f"{self.direction} of {self.amount} {self.asset_id}: {self.state}"
