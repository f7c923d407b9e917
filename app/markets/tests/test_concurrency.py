"""Sixteen traders in four processes on one PostgreSQL: no fill is lost or doubled, and nobody sees a deadlock."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from testing import traders
from testing.databases import migrated_database

# `make prove` and `python -m testing.traders 10000` place more.
ORDERS = int(os.environ.get("TRADERS_ORDERS", "2000"))


@pytest.fixture(scope="module")
def own_database() -> Iterator[dict[str, str]]:
    """Return the environment of a database that nobody else uses."""
    with migrated_database() as variables:
        yield variables


def test_traders_at_once(own_database: dict[str, str]) -> None:
    result = traders.run(own_database, ORDERS)
    told = {name: number for name, number in result["answers"].items() if name.startswith("failed")}
    assert (told, result["deadlocks"], result["errors_logged"]) == ({}, 0, [])
    assert (result["problems"], result["violations"]) == ([], [])
    assert result["orders"] >= ORDERS
    assert result["trades"] > ORDERS / 4
    assert result["answers"]["cancel"] > ORDERS / 20
    # What is meant to be met was met.
    assert {"refused: account-frozen", "refused: order-closed", "refused: insufficient-funds"} <= set(result["answers"])


@pytest.mark.parametrize("same_market", [True, False])
def test_the_same_request_at_once(own_database: dict[str, str], same_market: bool) -> None:  # noqa: FBT001 - a column
    answers = traders.send_at_once(own_database, same_market=same_market)
    if same_market:
        assert len(answers) == 1, "one order for all"
        assert set(answers.values()) == {traders.PROCESSES * traders.THREADS}
    else:
        assert answers.pop("idempotency-conflict") > 0
        assert len(answers) == 1, "one order in one of the markets"
