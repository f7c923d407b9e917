"""What routes have in common: errors that are documented, and how answers are written."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.renderers import BaseRenderer
from pydantic_core import to_json

from api.schemas import ProblemOut


def problems(*statuses: int) -> dict[int, type[ProblemOut]]:
    """Return the errors that a route documents: these, and what any route may answer."""
    return dict.fromkeys(sorted({*statuses, 503}), ProblemOut)


class Renderer(BaseRenderer):
    """Writes JSON as pydantic does, so that a kept answer and a new one look alike."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        """Return the body."""
        del request, response_status
        return to_json(data)
