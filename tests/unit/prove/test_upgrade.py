"""What an upgrade may cost, and which images are installed first."""

from __future__ import annotations

from typing import Any

import pytest
from load.steady import OK, Result
from prove.upgrade import retagged, verdict

GOOD: dict[str, Any] = {"by_tries": {"1": 9}, "server_errors": {}}


@pytest.mark.parametrize(
    ("outcome", "orders", "handed_over", "changed", "words"),
    [
        (OK, GOOD, False, 0, ""),
        ("status 503", GOOD, False, 0, "GET at 5.00, 0.10 s: status 503"),
        ("status 503", GOOD, True, 0, ""),
        ("dropped", GOOD, True, 0, "GET at 5.00, 0.10 s: dropped"),
        (OK, {**GOOD, "by_tries": {"1": 9, "2": 1}}, False, 0, "expected at most 1"),
        (OK, {**GOOD, "by_tries": {"1": 9, "2": 1}}, True, 0, ""),
        (OK, {**GOOD, "by_tries": {"3": 1}}, True, 0, "expected at most 2"),
        (OK, {**GOOD, "server_errors": {"500": 2}}, True, 0, "orders: {'500': 2}"),
        (OK, GOOD, False, 3, "changed=3"),
    ],
)
def test_what_an_upgrade_may_cost(
    outcome: str, orders: dict[str, Any], changed: int, words: str, *, handed_over: bool
) -> None:
    found = verdict([Result("GET", 5.0, 0.1, outcome, 0.0)], orders, handed_over=handed_over, changed=changed)
    assert len(found) == bool(words)
    assert not words or words in found[0]


def test_the_previous_release_s_own_images_get_tags_of_their_own() -> None:
    images = {"postgres": {"repository": "a/b", "tag": "17"}, "nginx": {"repository": "c/d", "tag": "5"}}
    assert retagged(images, ["postgres"]) == {
        "postgres": {"repository": "a/b", "tag": "17-previous"},
        "nginx": {"repository": "c/d", "tag": "5"},
    }
