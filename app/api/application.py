"""The API: its routes, its errors, its documentation."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.shortcuts import render
from django.utils.functional import cached_property
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import OpenAPISchema

from api import problems
from api.auth import READ
from api.idempotency import REPLAYED
from api.parsing import MAX_BODY_BYTES, StrictParser
from api.responses import Renderer
from api.routes import markets, orders, wallet
from ledger.errors import LedgerError

REPLAYED_HEADER: Final = {
    "schema": {"type": "string", "enum": ["true"]},
    "description": "There if this is the answer to an earlier request with the same key.",
}
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


class Docs(Swagger):
    """Swagger UI from our own files; whoever is logged in can try things out."""

    template = "api/docs.html"

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        """Return the page."""
        return render(request, self.template, {"settings": {**self.settings, "url": self.get_openapi_url(api, kwargs)}})


class ExchangeAPI(NinjaAPI):
    """NinjaAPI with a document that says what errors look like."""

    @cached_property
    def document(self) -> OpenAPISchema:
        """The OpenAPI document; it doesn't change while the process runs."""
        document = super().get_openapi_schema()
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if status in problems.CODES:
                        describe_problem(status, response)
                if HTTPStatus.CREATED in operation["responses"]:
                    operation["responses"][HTTPStatus.CREATED]["headers"] = {REPLAYED: REPLAYED_HEADER}
        return document

    def get_content_type(self) -> str:
        """Return the type of answers; JSON has one encoding, so there is none to name."""
        return self.renderer.media_type or ""

    def get_openapi_schema(self, **_kwargs: Any) -> OpenAPISchema:
        """Return the document."""
        return self.document


def describe_problem(status: int, response: dict[str, Any]) -> None:
    """Say of a response that it is problem details, show some, and when to come back after a 503."""
    schema = response["content"].pop("application/json")
    response["content"][problems.CONTENT_TYPE] = {**schema, "example": problems.problem(status)}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"}}


api = ExchangeAPI(
    title="CryptoCurrencyExchange",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api-v1",
    docs=Docs({"tryItOutEnabled": True}),
    auth=READ,
    parser=StrictParser(),
    renderer=Renderer(),
)
api.add_router("/markets", markets.router)
api.add_router("/orders", orders.router)
api.add_router("", wallet.router)

api.exception_handler(problems.Problem)(problems.on_problem)
api.exception_handler(LedgerError)(problems.on_ledger_error)
api.exception_handler(HttpError)(problems.on_http_error)
api.exception_handler(ValidationError)(problems.on_validation_error)


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
