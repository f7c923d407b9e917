"""Reading request bodies: JSON alone, of a bounded size."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from ninja.parser import Parser
from pydantic_core import from_json

from api.problems import Problem

# The largest request that makes sense has some 300 bytes.
MAX_BODY_BYTES: Final = 16 * 1024


class StrictParser(Parser):
    """Takes application/json in UTF-8; no NaN, no lone surrogates, no endless nesting."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return what the body says.

        Raises:
            Problem: 413, 415 or 400.
        """
        if request.content_type != "application/json":
            raise Problem(415, "unsupported-media-type", "Send the body as application/json.")
        if len(request.body) > MAX_BODY_BYTES:
            raise Problem(413, "body-too-large", f"The body has more than {MAX_BODY_BYTES} bytes.")
        try:
            return from_json(request.body, allow_inf_nan=False)
        except ValueError as error:
            raise Problem(400, "malformed-request", f"The body is not JSON: {error}") from error
