"""What a record of the load says about maintenance."""

from __future__ import annotations

from typing import Any

import pytest
from prove.under_load import tally

TRY, FAILED = {"event": "try"}, {"event": "failed"}


def answered(key: str, seconds: float = 0.01, status: int = 201) -> dict[str, Any]:
    return {"event": "answered", "key": key, "seconds": seconds, "status": status}


@pytest.mark.parametrize(
    ("events", "by_tries", "failures", "slowest"),
    [
        ([], {}, {}, 0.0),
        ([TRY | {"key": "a"}, answered("a"), TRY | {"key": "b"}, answered("b", 1.256)], {"1": 2}, {}, 1.26),
        (
            [TRY | {"key": "a"}, FAILED | {"failure": "503"}, TRY | {"key": "a"}, answered("a")],
            {"2": 1},
            {"503": 1},
            0.01,
        ),
        ([TRY | {"key": "a"}, *[FAILED | {"failure": "dropped"}, TRY | {"key": "a"}] * 2], {"3": 1}, {"dropped": 2}, 0),
        ([{"event": "start"}, TRY | {"key": "a"}, {"event": "end"}], {"1": 1}, {}, 0.0),
    ],
)
def test_tally(
    events: list[dict[str, Any]], by_tries: dict[str, int], failures: dict[str, int], slowest: float
) -> None:
    found = tally(events)
    assert found["by_tries"] == by_tries
    assert found["failures"] == failures
    assert found["slowest_answer_seconds"] == slowest
    assert found["requests"] == sum(by_tries.values())


def test_our_own_faults_are_counted() -> None:
    events = [TRY | {"key": key} for key in "abc"] + [
        answered("a"),
        answered("b", status=409),
        answered("c", status=500),
    ]
    assert tally(events)["server_errors"] == {"500": 1}
