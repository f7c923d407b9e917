"""The OpenAPI document, and whether the API does what it says."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core import signals
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings, strategies
from hypothesis.strategies import SearchStrategy
from pydantic_core import to_json
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.application import api
from api.schemas import MARKET_PATTERN
from api.tests.conftest import Program
from exchange.wsgi import application

TURN = itertools.cycle([True, False])


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


OPERATIONS = {found.ok().label: found.ok() for found in described().get_all_operations()}
# With made-up requests these get through now and then, if they do what the document says.
REACHED = {
    "GET /api/v1/markets/{code}/book",
    "GET /api/v1/markets/{code}/candles",
    "GET /api/v1/orders",
    "GET /api/v1/transfers",
    "POST /api/v1/orders",
    "POST /api/v1/deposits",
    "POST /api/v1/withdrawals",
}


def made_up(operation: Any) -> SearchStrategy[Any]:
    """Return requests as the document has them for examples, others that it allows, and some that it doesn't."""
    kinds = [operation.as_strategy(mode) for mode in schemathesis.GenerationMode]
    return strategies.one_of([*operation.get_strategies_from_examples(), *kinds])


# Named by pytest and not by schemathesis, which gives all of them the same name: each core would run one.
@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("label", OPERATIONS)
def test_the_api_does_what_its_document_says(label: str, alice: Program) -> None:
    seen: set[int] = set()

    @settings(
        max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )  # fmt: skip
    @given(case=made_up(OPERATIONS[label]))
    def send(case: schemathesis.Case[Any]) -> None:
        # A valid code is mostly one that isn't there; half of the time it shall be.
        if re.fullmatch(MARKET_PATTERN, str(case.path_parameters.get("code"))) and next(TURN):
            case.path_parameters["code"] = "BTC-USDC"
        response = case.call_and_validate(
            headers={"Authorization": f"Bearer {alice.token}"},
            # What is written in the right way can still be none of the market's prices, or too much.
            excluded_checks=[positive_data_acceptance],
        )
        seen.add(response.status_code)

    send()
    assert label not in REACHED or seen & {200, 201}


def test_the_document_has_what_must_be_reached() -> None:
    assert set(OPERATIONS) > REACHED
