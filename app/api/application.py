"""The API: its routes, its errors, its documentation."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from api import problems
from api.parsing import MAX_BODY_BYTES, StrictParser
from api.responses import Renderer
from api.routes import markets, orders, wallet
from ledger.errors import LedgerError

DESCRIPTION: Final = """\
Markets, books, trades and candles are public. Everything else needs a token: `Authorization: Bearer <token>`, made on
the page *API tokens*.

- Amounts and prices are **texts** of plain digits (`"0.25"`), in both directions; times are ISO 8601 in UTC.
- What moves money needs an `Idempotency-Key`. If an answer got lost, send the same request with the same key again: it
  acts once, and you get the first answer, with `Idempotency-Replayed: true`.
- Errors are problem details (RFC 9457) with a `code` for programs. After a 503, wait for `Retry-After` seconds and send
  the same request again.
- Lists come in parts: `next_cursor` asks for the next.
"""


class ExchangeAPI(NinjaAPI):
    """NinjaAPI with a document that says what errors look like."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """Return the document; errors are application/problem+json, and 503 says when to come back."""
        schema = super().get_openapi_schema(**kwargs)
        for path in schema["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:  # noqa: PLR2004 - where errors begin
                        response["content"] = {problems.CONTENT_TYPE: response["content"].pop("application/json")}
                    if int(status) == 503:  # noqa: PLR2004
                        response["headers"] = {
                            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}
                        }
        return schema


api = ExchangeAPI(
    title="CryptoCurrencyExchange",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api-v1",
    parser=StrictParser(),
    renderer=Renderer(),
)
api.add_router("/markets", markets.router)
api.add_router("/orders", orders.router)
api.add_router("", wallet.router)

api.add_exception_handler(problems.Problem, problems.on_problem)
api.add_exception_handler(LedgerError, problems.on_ledger_error)
api.add_exception_handler(HttpError, problems.on_http_error)
api.add_exception_handler(ValidationError, problems.on_validation_error)


@api.exception_handler(RequestDataTooBig)
def on_too_big(request: HttpRequest, _error: RequestDataTooBig) -> HttpResponse:
    """Answer a body that is too large even to be read."""
    return problems.problem_response(request, 413, detail=f"The body has more than {MAX_BODY_BYTES} bytes.")


@api.exception_handler(UnreadablePostError)
def on_unreadable(request: HttpRequest, _error: UnreadablePostError) -> HttpResponse:
    """Answer a client that went away in the middle of its request."""
    return problems.problem_response(request, 400)


@api.exception_handler(Exception)
def on_other_error(_request: HttpRequest, error: Exception) -> HttpResponse:
    """Leave it to Django and ProblemMiddleware, in DEBUG too: 503 if it passes, else 500."""
    raise error
