"""What a load would know if it had been killed at a moment."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from prove.disaster import acknowledged_before

EVENTS = [
    {"event": "start", "at": "2026-01-01T00:00:00+00:00"},
    {"event": "try", "at": "2026-01-01T00:00:01+00:00", "key": "a"},
    {"event": "answered", "at": "2026-01-01T00:00:01.900000+00:00", "key": "a"},
    {"event": "try", "at": "2026-01-01T00:00:01.950000+00:00", "key": "b"},
    {"event": "answered", "at": "2026-01-01T00:00:02+00:00", "key": "b"},
    {"event": "try", "at": "2026-01-01T00:00:05+00:00", "key": "c"},
    {"event": "failed", "at": "2026-01-01T00:00:06+00:00", "key": "c"},
]


def test_answers_from_the_moment_on_are_unknown_and_tries_are_not() -> None:
    text = "".join(json.dumps(one) + "\n" for one in EVENTS)
    kept = acknowledged_before(text, datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC))
    assert [json.loads(line) for line in kept.splitlines()] == [one for one in EVENTS if one is not EVENTS[4]]
