"""Prices and quantities in templates, each with all the decimals of its market, so that columns line up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django import template
from django.utils import timezone

from markets.models import Market

register = template.Library()


@register.filter
def price(value: Decimal, market: Market) -> str:
    """Write a price."""
    return f"{value:,.{market.price_decimals}f}"


@register.filter
def quantity(value: Decimal, market: Market) -> str:
    """Write a quantity."""
    return f"{value:,.{market.quantity_decimals}f}"


@register.filter
def rest_of(value: Decimal, largest: Decimal) -> str:
    """Return how much of 100 is left beside the value's share of the largest: where a bar that ends at 100 begins."""
    return f"{100 - value / largest * 100:.1f}"


@register.filter
def percent(value: Decimal) -> str:
    """Write a change in percent, with its sign (a real minus)."""
    text = f"{abs(value):,.2f}"
    sign = "" if text == "0.00" else "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{text} %"


@register.filter
def share(value: Decimal) -> str:
    """Write a share in percent: 0.001 is 0.1 %."""
    return f"{(value * 100).normalize():f} %"


@register.filter
def moment(value: datetime) -> str:
    """Write when something happened (UTC): the time alone if it was within the last day."""
    recent = (timezone.now() - value).total_seconds() < 20 * 3600
    return f"{value:%H:%M:%S}" if recent else f"{value:%Y-%m-%d %H:%M}"
