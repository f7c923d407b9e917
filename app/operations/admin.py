"""What admins of several apps share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


class ReadOnly:
    """Takes away everything but looking."""

    def has_add_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse."""
        return False
