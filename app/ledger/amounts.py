"""Amounts as people and programs write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from ledger.errors import AmountError
from ledger.models import Asset

# One transfer may move no more, so that no sum of them gets near numeric(38, 18)'s 20 digits.
MAX_AMOUNT: Final = Decimal(10) ** 12
# Plain digits only: Decimal itself would also take NaN, Infinity, 1e9, underscores and other scripts' digits.
PLAIN: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)


def parse_amount(text: str, asset: Asset) -> Decimal:
    """Return a positive amount of the asset.

    Raises:
        AmountError: it isn't a plain number, not positive, finer than the asset, or more than MAX_AMOUNT.
    """
    text = text.strip()
    if not PLAIN.fullmatch(text):
        raise AmountError("Write the amount in digits, with a point before the decimals.")
    return check_amount(Decimal(text), asset)


def check_amount(amount: Decimal, asset: Asset) -> Decimal:
    """Return the amount if it is a positive one of this asset, else raise AmountError."""
    if not amount.is_finite() or amount <= 0:
        raise AmountError("The amount must be more than zero.")
    if amount > MAX_AMOUNT:
        raise AmountError(f"The amount must be at most {MAX_AMOUNT:,} {asset.code}.")
    if amount % asset.unit:
        raise AmountError(f"{asset.code} has at most {asset.decimals} decimals.")
    return amount


def format_amount(amount: Decimal, asset_decimals: int, *, grouped: bool = True) -> str:
    """Write an amount exactly: at least two decimals, no more trailing zeros, thousands grouped."""
    text = f"{amount:,.{asset_decimals}f}" if grouped else f"{amount:.{asset_decimals}f}"
    whole, point, decimals = text.partition(".")
    if not point:
        return whole
    kept = decimals.rstrip("0").ljust(min(2, asset_decimals), "0")
    return f"{whole}.{kept}"
