"""Markets in the admin: orders and trades to look up, a market's fees and whether it is open to change."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from markets.models import Market, Order, Trade
from operations.admin import ReadOnly


@admin.register(Market)
class MarketAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Markets. Their assets and steps do not change: the database refuses it."""

    list_display = ("code", "base", "quote", "tick_size", "lot_size", "maker_fee", "taker_fee", "is_open")
    fields = ("code", "base", "quote", "tick_size", "lot_size", "maker_fee", "taker_fee", "is_open")

    def get_readonly_fields(self, _request: HttpRequest, obj: Any = None) -> list[str]:
        """Leave open what may change."""
        return ["code", "base", "quote", "tick_size", "lot_size"] if obj else []

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse."""
        return False


class TradeInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """The trades of an order, on one side of them."""

    model = Trade
    fields = ("id", "created_at", "price", "quantity", "taker_order", "maker_order", "taker_fee", "maker_fee")
    readonly_fields = ("id", "created_at")


class TakenInline(TradeInline):
    """Those in which it came second."""

    fk_name = "taker_order"
    verbose_name_plural = "trades as taker"


class MadeInline(TradeInline):
    """Those in which it waited."""

    fk_name = "maker_order"
    verbose_name_plural = "trades as maker"


@admin.register(Order)
class OrderAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Orders, to look up by id, customer or the key that a client chose."""

    list_display = ("id", "user", "market", "side", "kind", "price", "quantity", "filled", "status", "created_at")
    list_filter = ("status", "side", "market")
    search_fields = ("=id", "user__username", "user__email", "=idempotency_key")
    search_help_text = "Number of an order, name or mail address of a customer, or an idempotency key"
    list_select_related = ("user", "market")
    inlines: ClassVar = [TakenInline, MadeInline]
    show_full_result_count = False


@admin.register(Trade)
class TradeAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Trades."""

    list_display = ("id", "market", "price", "quantity", "taker_side", "taker_order", "maker_order", "created_at")
    list_filter = ("market", "taker_side")
    search_fields = ("=id", "=taker_order__id", "=maker_order__id")
    list_select_related = ("market", "taker_order", "maker_order")
    show_full_result_count = False
