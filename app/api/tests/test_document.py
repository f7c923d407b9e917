"""The OpenAPI document, and whether the API does what it says."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core import signals
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from pydantic_core import to_json
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.application import api
from api.schemas import MARKET_PATTERN
from api.tests.conftest import Program
from exchange.wsgi import application

TURN = itertools.cycle([True, False])
SEEN: defaultdict[str, set[int]] = defaultdict(set)


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    """Return the document as it is served."""
    body: dict[str, Any] = client.get("/api/v1/openapi.json").json()
    return body


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")
    operations = [(path, method, o) for path, methods in document["paths"].items() for method, o in methods.items()]
    assert len(operations) == 16
    for path, method, operation in operations:
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        errors = {status: response for status, response in operation["responses"].items() if int(status) >= 400}
        assert "503" in errors, path
        assert {kind for response in errors.values() for kind in response["content"]} == {"application/problem+json"}
        assert ("security" in operation) == (not path.startswith("/api/v1/markets")), path
        keyed = [p for p in operation["parameters"] if p["name"] == "Idempotency-Key"]
        moves_money = method == "post" and path in {"/api/v1/orders", "/api/v1/deposits", "/api/v1/withdrawals"}
        assert [p["required"] for p in keyed] == ([True] if moves_money else []), path
    assert set(document["components"]["securitySchemes"]) == {"BearerToken", "Session"}


def test_no_amount_is_a_number(document: dict[str, Any]) -> None:
    assert '"type": "number"' not in json.dumps(document)


def described() -> Any:
    """Return the document as schemathesis reads it, with the application behind it."""
    document = json.loads(to_json(api.document))
    for methods in document["paths"].values():
        for operation in methods.values():
            # With a token beside it a session doesn't count, however wrong it is: for schemathesis, a hole.
            operation["security"] = [way for way in operation.get("security", []) if "BearerToken" in way]
    schema = schemathesis.openapi.from_dict(document)
    # Unknown parameters of an address are ignored, as everywhere on the web.
    schema.config.generation.allow_extra_parameters = False
    schema.app = application
    return schema


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Keep requests from closing the connection whose transaction the test is, as Django's own test client does."""
    both = (signals.request_started, signals.request_finished)
    for signal in both:
        signal.disconnect(close_old_connections)
    yield
    for signal in both:
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("one_connection")
@described().parametrize()  # type: ignore[untyped-decorator]
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_the_api_does_what_its_document_says(case: schemathesis.Case[Any], alice: Program) -> None:
    # A valid code is mostly one that isn't there; half of the time it shall be.
    if re.fullmatch(MARKET_PATTERN, str(case.path_parameters.get("code"))) and next(TURN):
        case.path_parameters["code"] = "BTC-USDC"
    response = case.call_and_validate(
        headers={"Authorization": f"Bearer {alice.token}"},
        # What is written in the right way can still be none of the market's prices, or too much.
        excluded_checks=[positive_data_acceptance],
    )
    SEEN[case.operation.label].add(response.status_code)


def test_schemathesis_got_through() -> None:
    if not SEEN:
        pytest.skip("nothing was tried in this run")
    assert {label for label, statuses in SEEN.items() if statuses & {200, 201}} >= {
        "GET /api/v1/markets/{code}/book",
        "GET /api/v1/markets/{code}/candles",
        "GET /api/v1/orders",
        "GET /api/v1/transfers",
        "POST /api/v1/orders",
        "POST /api/v1/deposits",
        "POST /api/v1/withdrawals",
    }
