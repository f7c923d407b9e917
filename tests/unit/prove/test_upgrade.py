"""What an upgrade may cost, and which images are installed first."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from cluster.shell import Failure
from load.steady import OK, Result
from prove.upgrade import handovers, not_tried, retagged, verdict

GOOD: dict[str, Any] = {"by_tries": {"1": 9}, "server_errors": {}}


@pytest.mark.parametrize(
    ("outcome", "orders", "handed_over", "changed", "words"),
    [
        (OK, GOOD, [], 0, ""),
        ("status 503", GOOD, [], 0, "GET at 50.00, 0.10 s: status 503"),
        ("status 503", GOOD, [52.0], 0, ""),
        ("status 503", GOOD, [20.0, 48.0], 0, ""),
        # Long before another primary is seen, and long after: a Service without ready pods, for one.
        ("status 503", GOOD, [65.0], 0, "GET at 50.00, 0.10 s: status 503"),
        ("status 503", GOOD, [20.0, 40.0], 0, "GET at 50.00, 0.10 s: status 503"),
        ("dropped", GOOD, [52.0], 0, "GET at 50.00, 0.10 s: dropped"),
        (OK, {**GOOD, "by_tries": {"1": 9, "2": 1}}, [], 0, "expected at most 1"),
        (OK, {**GOOD, "by_tries": {"1": 9, "2": 1}}, [52.0], 0, ""),
        (OK, {**GOOD, "by_tries": {"3": 1}}, [52.0], 0, "expected at most 2"),
        (OK, {**GOOD, "server_errors": {"500": 2}}, [52.0], 0, "orders: {'500': 2}"),
        (OK, GOOD, [], 3, "changed=3"),
    ],
)
def test_what_an_upgrade_may_cost(
    outcome: str, orders: dict[str, Any], handed_over: list[float], changed: int, words: str
) -> None:
    found = verdict([Result("GET", 50.0, 0.1, outcome, 0.0)], orders, handed_over=handed_over, changed=changed)
    assert len(found) == bool(words)
    assert not words or words in found[0]


TRIED: dict[str, Any] = {
    "streams": {"GET": {"requests": 9}, "page": {"requests": 1}},
    "late_p99_ms": 3.0,
    "changed": [7, 0],
    "members_replaced": 3,
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"streams": {"GET": {"requests": 9}}}, "page: was not asked for once"),
        ({"late_p99_ms": 1500.0}, "up to 1500.0 ms late"),
        ({"changed": [0, 0]}, "changed=0"),
        ({"changed": [-1, 0]}, "changed=-1"),
        ({"members_replaced": 0}, "no member"),
    ],
)
def test_an_upgrade_that_did_not_take_place_proves_nothing(changed: dict[str, Any], words: str) -> None:
    found = not_tried({**TRIED, **changed}, ["GET", "page"])
    assert len(found) == bool(words)
    assert not words or words in found[0]


def test_a_handover_is_when_another_one_leads_and_not_when_nobody_does() -> None:
    leading = iter(["a", "a", "", "a", "a b", "b", "b", Failure("the API is away"), "b", "", "c"])
    told = threading.Event()

    def look() -> str:
        now = next(leading, None)
        if now is None:
            told.set()
            return "c"
        if isinstance(now, Failure):
            raise now
        return now

    begun = time.time()
    with handovers(look, every_seconds=0.001) as seen:
        assert told.wait(60)
    assert len(seen) == 2
    assert begun <= seen[0] <= seen[1] <= time.time()


def test_the_previous_release_s_own_images_get_tags_of_their_own() -> None:
    images = {"postgres": {"repository": "a/b", "tag": "17"}, "nginx": {"repository": "c/d", "tag": "5"}}
    assert retagged(images, ["postgres"]) == {
        "postgres": {"repository": "a/b", "tag": "17-previous"},
        "nginx": {"repository": "c/d", "tag": "5"},
    }
