"""Errors as problem details (RFC 9457): what every client of the API gets instead of a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from ninja.errors import AuthenticationError, HttpError, ValidationError

from ledger.errors import LedgerError
from operations.requests import REQUEST_ID_KEY

CONTENT_TYPE: Final = "application/problem+json"
PREFIX: Final = "/api/"
# Headers that don't outlive the page that they describe.
OF_THE_BODY: Final = {"content-type", "content-length", "content-encoding", "content-language", "etag"}
# What LedgerError.code means in HTTP; refused for another reason: 409.
STATUSES: Final[Mapping[str, int]] = {
    "invalid-amount": 422,
    "invalid-order": 422,
    "idempotency-conflict": 422,
    "account-frozen": 403,
    "insufficient-funds": 409,
    "market-closed": 409,
    "order-closed": 409,
    "transfer-decided": 409,
    "unknown-market": 404,
    "unknown-order": 404,
    "unknown-asset": 404,
    "unknown-transfer": 404,
}
# Codes of errors that have none of their own.
CODES: Final[Mapping[int, str]] = {
    400: "malformed-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "body-too-large",
    415: "unsupported-media-type",
    422: "invalid-request",
    429: "too-many-requests",
    500: "internal-error",
    503: "temporarily-unavailable",
}
DETAILS: Final[Mapping[int, str]] = {
    400: "The request can't be understood.",
    401: "Send a valid token: Authorization: Bearer <token>.",
    403: "This is not allowed.",
    404: "There is nothing at this address.",
    405: "This address doesn't take this method.",
    409: "Things are not as this request needs them.",
    413: "The body is too large.",
    415: "Send the body as application/json.",
    422: "Something in the request is not as it must be.",
    429: "Too many requests. Please wait a moment.",
    500: "Something went wrong on our side.",
    503: "The service is briefly unavailable. Send the same request again in a moment.",
}


class Problem(Exception):  # noqa: N818 - the standard's name for it
    """An error that knows its status and code."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep what the client is told."""
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}


class InvalidField(LedgerError):  # noqa: N818 - reads as what it is
    """An amount is refused, and the request has a name for it."""

    code = "invalid-amount"

    def __init__(self, message: str, field: str) -> None:
        """Keep the field's name."""
        super().__init__(message)
        self.field = field


class UnknownAsset(LedgerError):  # noqa: N818 - reads as what it is
    """There is no such asset."""

    code = "unknown-asset"


class UnknownTransfer(LedgerError):  # noqa: N818 - reads as what it is
    """The customer has no such transfer."""

    code = "unknown-transfer"


def problem(status: int, code: str | None = None, detail: str | None = None) -> dict[str, Any]:
    """Return problem details."""
    title = HTTPStatus(status).phrase
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail or DETAILS.get(status, title),
        "code": code or CODES.get(status, "error"),
    }


def problem_response(  # noqa: PLR0913 - what problem details consist of
    request: HttpRequest,
    status: int,
    *,
    code: str | None = None,
    detail: str | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Return an answer with problem details; `errors` names the fields that are wrong."""
    body = problem(status, code, detail)
    if errors:
        body["errors"] = list(errors)
    if identifier := request.META.get(REQUEST_ID_KEY):
        body["request_id"] = identifier
    return HttpResponse(json.dumps(body), status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))


def on_problem(request: HttpRequest, error: Problem) -> HttpResponse:
    """Answer what we raised ourselves."""
    return problem_response(request, error.status, code=error.code, detail=error.detail, headers=error.headers)


def on_ledger_error(request: HttpRequest, error: LedgerError) -> HttpResponse:
    """Answer what books and markets refuse."""
    field = getattr(error, "field", None)
    errors = [{"field": field, "message": str(error)}] if field else []
    return problem_response(request, STATUSES.get(error.code, 409), code=error.code, detail=str(error), errors=errors)


def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Answer what the framework raises; our parser's reasons come as its cause."""
    if isinstance(error.__cause__, Problem):
        return on_problem(request, error.__cause__)
    if isinstance(error, AuthenticationError):
        return problem_response(request, 401, headers={"WWW-Authenticate": "Bearer"})
    return problem_response(request, error.status_code, detail=f"{error}.".replace("..", "."))


def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Name each field that is wrong."""
    errors = [{"field": _field(item["loc"]), "message": str(item["msg"])} for item in error.errors]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:5])
    if {item["loc"][0] for item in error.errors} == {"header"}:
        return problem_response(request, 400, code="invalid-idempotency-key", detail=detail, errors=errors)
    return problem_response(request, 422, detail=detail, errors=errors[:20])


def _field(location: Sequence[str | int]) -> str:
    """Return a field's name: `body`, `query`, the parameter's name and list indexes are dropped."""
    parts = [str(part) for part in location[1:] if part != "payload"]
    return ".".join(parts)[:100] or str(location[0])


class ProblemMiddleware:
    """Turns every error page below /api/ into problem details, whoever made it: Django, the framework, a middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """Keep the next in line."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        response = self.get_response(request)
        if not request.path.startswith(PREFIX):
            return response
        if response.status_code >= HTTPStatus.BAD_REQUEST and response.get("Content-Type") != CONTENT_TYPE:
            kept = {name: value for name, value in response.items() if name.lower() not in OF_THE_BODY}
            response = problem_response(request, response.status_code, headers=kept)
            response.headers["Content-Length"] = str(len(response.content))
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response
