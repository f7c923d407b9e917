"""What a trial of the pipeline is judged by."""

from __future__ import annotations

import pytest
from cluster.shell import Failure
from prove.pipeline import TRIALS, Trial, chosen, last_lines, now_differs, problems

GOOD = Trial("good", lambda: None)
BAD = Trial("bad", lambda: None, "no room")
RED = ["staging > FAILED: v2: no room. v1 serves."]


@pytest.mark.parametrize(
    ("trial", "code", "lines", "after", "wanted", "count"),
    [
        (GOOD, 0, [], "v2", "v2", 0),
        (GOOD, 1, [], "v2", "v2", 1),
        (GOOD, 0, [], "v1", "v2", 1),
        (BAD, 1, RED, "v1", "v1", 0),
        (BAD, 0, RED, "v1", "v1", 1),
        (BAD, 1, RED, "v2", "v1", 1),
        (BAD, 1, ["staging > FAILED: v2: something else"], "v1", "v1", 1),
        (BAD, 1, ["staging > no room"], "v1", "v1", 1),
        (BAD, 0, [], "v2", "v1", 3),
    ],
)
def test_a_trial_is_judged(  # noqa: PLR0913, PLR0917  # a row of the table
    trial: Trial, code: int, lines: list[str], after: str, wanted: str, count: int
) -> None:
    assert len(problems(trial, code, lines, after, wanted)) == count


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", [trial.name for trial in TRIALS]),
        ("good again, good", ["good", "good again"]),
        ("good,good again,smoke test fails", ["good", "smoke test fails", "good again"]),
    ],
)
def test_versions_can_be_chosen(names: str, expected: list[str]) -> None:
    assert [trial.name for trial in chosen(names)] == expected


@pytest.mark.parametrize("names", ["good", "smoke test fails", "best,good,good again"])
def test_without_two_good_ones_nothing_is_tried(names: str) -> None:
    with pytest.raises(Failure, match="expected some of good, readiness fails, "):
        chosen(names)


def test_the_last_lines_are_those_that_say_something() -> None:
    assert last_lines("\n".join([*map(str, range(30)), "", "  "]))[-1] == "29"


def test_a_form_s_token_is_no_change() -> None:
    page = '<input type="hidden" name="csrfmiddlewaretoken" value="{}"><h1>{}</h1>'
    assert not now_differs(page.format("a", "Log in"), page.format("b", "Log in"))
    assert now_differs(page.format("a", "Log in"), page.format("a", "Another"))


def test_good_and_bad_versions_are_tried() -> None:
    assert [bool(trial.reason) for trial in TRIALS] == [False, True, True, True, False]
