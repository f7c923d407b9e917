"""What the campaign of going back to a moment reads from a load's record, and from what a restore says."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cluster.shell import Failure
from prove.point_in_time import acknowledged, begun_after, reached

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVENTS = [
    {"event": "start", "at": "2026-01-01T11:59:00+00:00"},
    {"event": "try", "at": "2026-01-01T11:59:59+00:00", "key": "a", "number": 1},
    {"event": "answered", "at": "2026-01-01T12:00:01+00:00", "key": "a", "kind": "order", "status": 201},
    # Tried before: it may be there.
    {"event": "try", "at": "2026-01-01T11:59:59.9+00:00", "key": "b", "number": 1},
    {"event": "try", "at": "2026-01-01T12:00:02+00:00", "key": "b", "number": 2},
    {"event": "answered", "at": "2026-01-01T12:00:03+00:00", "key": "b", "kind": "order", "status": 422},
    {"event": "try", "at": "2026-01-01T12:00:04+00:00", "key": "c", "number": 1},
    {"event": "answered", "at": "2026-01-01T12:00:05+00:00", "key": "c", "kind": "cancel", "status": 200},
]
RECORD = "".join(json.dumps(one) + "\n" for one in EVENTS)


def test_what_was_acknowledged() -> None:
    assert acknowledged(RECORD) == [datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)]


def test_what_was_begun_after_a_moment() -> None:
    assert begun_after(RECORD, NOON) == {"c"}


def test_how_far_a_restore_got() -> None:
    said = "as it was at latest: its last\n    commit is of 2026-01-01 12:00:00.25+00"
    assert reached(said) == NOON.replace(microsecond=250_000)
    with pytest.raises(Failure, match="doesn't say how far"):
        reached("its last commit is of before the base backup")
