"""Amounts in templates."""

from __future__ import annotations

from decimal import Decimal

from django import template

from ledger.amounts import format_amount
from ledger.models import Asset

register = template.Library()


@register.filter
def amount(value: Decimal, asset: Asset) -> str:
    """Write an amount of an asset."""
    return format_amount(value, asset.decimals)


@register.filter
def signed_amount(value: Decimal, asset: Asset) -> str:
    """Write a change of an amount, with its sign (a real minus)."""
    sign = "+" if value > 0 else "\N{MINUS SIGN}" if value < 0 else ""
    return sign + format_amount(abs(value), asset.decimals)
