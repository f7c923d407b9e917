"""The steady load as the exchange gets it."""

from __future__ import annotations

import pytest
from load.exchange import SHARES, plain_streams, streams


def test_the_plain_requests_come_at_the_rate_that_is_asked_for() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    assert sum(one.per_second for one in plain_streams(120)) == pytest.approx(120)


def test_there_is_each_method_on_each_kind_of_connection() -> None:
    kinds = {(one.method, one.keep_alive) for one in plain_streams(1)}
    assert kinds == {("GET", True), ("GET", False), ("POST", True), ("POST", False)}
    assert len({one.name for one in streams(1, "cookie=x")}) == len(streams(1, "cookie=x"))
