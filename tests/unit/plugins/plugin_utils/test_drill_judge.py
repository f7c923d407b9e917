"""What a drill's records say, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_judge import judge, percentile

FAULT = 10.0


def write(
    number: float, server: str = "a", *, took: float = 0.1, name: str = "main", error: str = ""
) -> dict[str, Any]:
    """Return an attempt begun at a second and ended a moment later."""
    outcome = {"error": error} if error else {"server": server}
    return {"id": f"{name}-{number}", "began": number, "ended": number + took, **outcome}


STEADY = [write(number / 2) for number in range(40)]
MOVED = [*[write(number / 2) for number in range(20)], *[write(13 + number / 2, "b") for number in range(20)]]


def ids(attempts: list[dict[str, Any]]) -> set[str]:
    return {one["id"] for one in attempts if "error" not in one}


def test_without_an_effect_the_pause_is_the_beat() -> None:
    found = judge(STEADY, [], ids(STEADY), FAULT)
    assert found["gap_seconds"] == pytest.approx(0.5)
    assert (found["failed"], found["lost"], found["overlaps"]) == (0, [], [])
    assert found["acknowledged"] == 40


def test_the_pause_reaches_from_the_last_acknowledgement_before_to_the_first_after() -> None:
    found = judge(MOVED, [], ids(MOVED), FAULT)
    assert found["gap_seconds"] == pytest.approx(13.1 - 9.6)
    assert found["resumed_after_seconds"] == pytest.approx(3.1)


def test_a_pause_before_the_fault_does_not_count() -> None:
    slow = [write(0), *[write(number / 2) for number in range(16, 40)]]
    assert judge(slow, [], ids(slow), FAULT)["gap_seconds"] == pytest.approx(0.5)


def test_failures_count_from_the_fault_on_and_apart_once_writes_have_resumed() -> None:
    failures = [
        write(5, error="before"),
        write(11, error='connection to server at "postgres-rw" (10.0.0.1), port 5432 failed: timeout expired'),
        write(12.9, took=2, error="begun before, ended after"),
        write(15.2, error="begun after"),
    ]
    found = judge([*MOVED, *failures], [], ids(MOVED), FAULT)
    assert (found["failed"], found["failed_after_resume"]) == (3, 1)
    assert found["errors"] == {"timeout expired": 1, "begun before, ended after": 1, "begun after": 1}


@pytest.mark.parametrize(
    ("earlier", "port", "counted"),
    [
        pytest.param(write(12, error="timeout expired") | {"port": 40000}, 40000, 1, id="used in vain"),
        pytest.param(write(12, error="timeout expired") | {"port": 40002}, 40000, 0, id="another port"),
        pytest.param(write(12, error="timeout expired") | {"port": 0}, 0, 0, id="neither had a port"),
        pytest.param(write(9) | {"port": 40000}, 40000, 1, id="answered before the fault"),
        pytest.param(write(16, error="timeout expired") | {"port": 40000}, 40000, 0, id="used later"),
    ],
)
def test_a_port_that_was_used_in_vain_is_told_apart(earlier: dict[str, Any], port: int, counted: int) -> None:
    late = write(15.2, error="session is read-only") | {"port": port}
    found = judge([*MOVED, earlier, late], [], ids([*MOVED, earlier]), FAULT)
    assert found["failed_on_used_port"] == counted
    assert [5.2, pytest.approx(15.2 - earlier["began"]) if counted else None] in found["late"]


def test_lost_is_what_was_acknowledged_and_is_not_there() -> None:
    there = ids(MOVED) - {"main-9.0"} | {"main-12"}
    found = judge([*MOVED, write(12, error="cut off")], [], there, FAULT)
    assert found["lost"] == ["main-9.0"]
    assert found["kept_unacknowledged"] == 1


def test_lost_beside_counts_as_well() -> None:
    beside = [write(9, name="beside"), write(20, "a", name="beside")]
    found = judge(MOVED, beside, ids(MOVED) | {"beside-9"}, FAULT)
    assert found["lost"] == ["beside-20"]
    assert found["acknowledged_beside"] == 2


@pytest.mark.parametrize(
    ("late", "overlaps"),
    [
        (write(13.05, "a", name="beside"), []),  # begun before the successor's first acknowledgement
        (write(14, "a", name="beside"), ["beside-14"]),
        (write(14, name="beside", error="read-only"), []),
    ],
)
def test_two_primaries_are_seen(late: dict[str, Any], overlaps: list[str]) -> None:
    assert judge(MOVED, [late], ids([*MOVED, late]), FAULT)["overlaps"] == overlaps


def test_writes_that_never_resume_have_no_end() -> None:
    before = [write(number / 2) for number in range(20)]
    found = judge([*before, write(11, error="refused")], [], ids(before), FAULT)
    assert found["resumed_after_seconds"] is None
    assert found["failed"] == 1


@pytest.mark.parametrize(
    ("values", "percent", "expected"), [([3.0], 95, 3.0), (list(range(1, 21)), 95, 19), (list(range(1, 101)), 50, 50)]
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected
