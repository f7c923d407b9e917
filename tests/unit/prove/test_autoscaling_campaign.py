"""What the campaign of autoscaling takes for too late, and for going to and fro."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from cluster.shell import Failure
from prove import autoscaling
from prove.autoscaling import Sample, cores, judge, turns


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], 0), ([2], 0), ([2, 2, 4, 4, 3, 2], 1), ([2, 4, 2, 4, 2], 3), ([4, 3, 2], 0), ([2, 3, 2, 3], 2)],
)
def test_turns(numbers: list[int], expected: int) -> None:
    assert turns(numbers) == expected


def samples(*rows: tuple[float, float | None, int]) -> list[Sample]:
    return [Sample(at, percent, wanted, wanted) for at, percent, wanted in rows]


GOOD = [(0.0, 20.0, 2), (10.0, 90.0, 2), (40.0, 150.0, 4), (50.0, None, 4), (200.0, 10.0, 2)]


def test_as_promised() -> None:
    found, wrong = judge(samples(*GOOD), 0)
    assert wrong == []
    assert (found["seconds_from_crossing_to_more_pods"], found["most_pods"]) == (30.0, 4)


@pytest.mark.parametrize(
    ("rows", "changed", "words"),
    [
        ([(0, 20, 2), (10, 90, 2), (90, 99, 3), (200, 9, 2)], 0, "more pods 80 s after"),
        ([(0, 20, 2), (10, 90, 2), (90, 99, 2)], 0, "more pods None s"),
        ([*GOOD[:4], (60, 50, 3), (70, 90, 4), (200, 9, 2)], 0, "to and fro"),
        (GOOD[:4], 0, "didn't come back"),
        (GOOD, 1, "changed=1"),
        ([*GOOD[:2], (40, 150, autoscaling.SCALING["max_replicas"]), (200, 9, 2)], 0, "lower LOAD_RATE"),
    ],
)
def test_not_as_promised(rows: list[tuple[float, float | None, int]], changed: int, words: str) -> None:
    assert any(words in line for line in judge(samples(*rows), changed)[1])


@pytest.mark.parametrize(
    ("quantity", "expected"), [("12345678n", 0.012345678), ("900u", 0.0009), ("250m", 0.25), ("2", 2)]
)
def test_cores(quantity: str, expected: float) -> None:
    assert cores(quantity) == pytest.approx(expected)


def taking(misses: Iterator[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next sample be missing whenever it is so said, and any further one be there."""

    def sample() -> Sample:
        if next(misses, False):
            raise Failure("no answer")
        return Sample(1.0, None, 2, 2)

    monkeypatch.setattr(autoscaling, "SAMPLE_SECONDS", 0.001)
    monkeypatch.setattr(autoscaling, "sample", sample)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_sample_that_can_t_be_taken_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    misses = [*[True] * (autoscaling.MISSES - 1), False] * 2
    taking(iter(misses), monkeypatch)
    found: list[Sample] = []
    with autoscaling.watching(found):
        until(lambda: len(found) > 2)


def test_many_in_a_row_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def always() -> Iterator[bool]:
        while True:
            asked.append("for a sample")
            yield True

    taking(always(), monkeypatch)
    with pytest.raises(Failure, match="no sample could be taken any more: no answer"), autoscaling.watching([]):
        until(lambda: len(asked) == autoscaling.MISSES)
