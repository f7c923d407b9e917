"""What a record of the steady load says."""

from __future__ import annotations

import pytest
from load.report import Span, by_stream, failures, figures, percentile, unexplained, within
from load.steady import OK, Result


def result(due: float, seconds: float = 0.01, outcome: str = OK, stream: str = "s", late: float = 0.0) -> Result:
    return Result(stream, due, seconds, outcome, late)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, None), ([3.0], 99, 3.0), ([4.0, 1.0, 3.0, 2.0], 50, 2.0), ([*map(float, range(1, 101))], 99, 99.0)],
)
def test_percentile(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == expected


def test_latencies_are_of_good_answers_and_failures_are_counted_by_kind() -> None:
    found = figures([result(1, 0.010), result(2, 0.030), result(3, 9, "timeout"), result(4, 0, "dropped", late=0.2)])
    assert found == {
        "requests": 4,
        "failed": {"timeout": 1, "dropped": 1},
        "p50_ms": 10.0,
        "p99_ms": 30.0,
        "max_ms": 30.0,
        "late_p99_ms": 200.0,
    }


def test_streams_and_spans_are_told_apart() -> None:
    results = [result(1, stream="a"), result(2, stream="b"), result(3, outcome="dropped", stream="b")]
    assert {name: one["requests"] for name, one in by_stream(results).items()} == {"a": 1, "b": 2}
    assert [one.due for one in within(results, Span("x", 2, 3))] == [2]
    assert [one.due for one in failures(reversed(results))] == [3]


KILL = Span("kill", 100, 100.2)


@pytest.mark.parametrize(
    ("due", "seconds", "late", "allowed"),
    [
        (99.0, 1.5, 0, True),  # under way, and cut off
        (99.0, 0.5, 0, False),  # had ended before
        (100.1, 0.5, 0, True),  # began while the kill was carried out
        (100.3, 0.5, 0, False),  # began after it
        (100.0, 0.5, 0.3, False),  # was due before its end, and began after it
    ],
)
def test_only_what_was_under_way_at_a_kill_is_explained_by_it(
    due: float, seconds: float, late: float, *, allowed: bool
) -> None:
    one = result(due, seconds, "dropped", late=late)
    assert unexplained([one], [Span("before", 10, 11), KILL]) == ([] if allowed else [one])


@pytest.mark.parametrize(
    ("outcome", "allowed"),
    [
        ("dropped", True),
        ("status 502", True),
        ("status 504", True),
        ("status 500", False),
        ("status 503", False),
        ("status 404", False),
        ("timeout", False),
        ("no connection", False),
    ],
)
def test_a_kill_explains_a_lost_connection_and_nothing_else(outcome: str, *, allowed: bool) -> None:
    one = result(99.9, 0.3, outcome)
    assert unexplained([one], [KILL]) == ([] if allowed else [one])


def test_a_kill_explains_no_more_losses_than_there_were_requests_at_once() -> None:
    answered, short = result(99.0, 2.0), [result(100.0 + number / 100, 0.005, "dropped") for number in range(5)]
    assert unexplained([answered, *short], [KILL]) == short[2:]
    assert unexplained([*short, result(99.0, 2.0, "dropped")], [KILL]) == short[1:]
    assert unexplained(short, [KILL, Span("kill", 100.037, 100.2)]) == short[1:4]
