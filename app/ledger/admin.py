"""The ledger in the admin: to look at, never to touch."""

from __future__ import annotations

from django.contrib import admin

from ledger.models import Account, Asset, Movement, Posting, Transfer
from operations.admin import ReadOnly


class PostingInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """The postings of a movement."""

    model = Posting


@admin.register(Asset)
class AssetAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Assets."""

    list_display = ("code", "name", "decimals")


@admin.register(Account)
class AccountAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Accounts and balances."""

    list_display = ("id", "owner", "asset", "kind", "balance")
    list_filter = ("asset", "kind")
    search_fields = ("owner__username", "owner__email")
    list_select_related = True


@admin.register(Movement)
class MovementAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Movements with their postings."""

    list_display = ("id", "kind", "key", "created_at")
    list_filter = ("kind",)
    search_fields = ("key",)
    inlines = (PostingInline,)
    show_full_result_count = False


@admin.register(Transfer)
class TransferAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Deposits and withdrawals."""

    list_display = ("id", "user", "direction", "amount", "asset", "state", "created_at")
    list_filter = ("direction", "state", "asset")
    search_fields = ("id", "user__username", "destination")
    list_select_related = True
