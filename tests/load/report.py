"""What a record of load.steady says. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from load.steady import OK, Result

# What becomes of a request whose server dies: the ingress says so, or has begun to answer and can only hang up.
LOST = {"dropped", "status 502", "status 504"}
# A load of which one in a hundred requests begins later than this has kept no rate.
LATEST_MS = 1000


@dataclass(frozen=True)
class Span:
    """A stretch of time, in Unix seconds."""

    name: str
    begin: float
    end: float


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that at least so many percent of all don't exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else None


def milliseconds(seconds: float | None) -> float | None:
    """Return milliseconds, rounded."""
    return None if seconds is None else round(1e3 * seconds, 1)


def figures(results: Sequence[Result]) -> dict[str, Any]:
    """Return how many requests there were, what became of them, and latencies of those that were answered well."""
    good = [one.seconds for one in results if one.outcome == OK]
    return {
        "requests": len(results),
        "failed": dict(Counter(one.outcome for one in results if one.outcome != OK)),
        "p50_ms": milliseconds(percentile(good, 50)),
        "p99_ms": milliseconds(percentile(good, 99)),
        "max_ms": milliseconds(max(good, default=None)),
        # Of the load itself: large ones mean that this machine was too busy to keep the rate.
        "late_p99_ms": milliseconds(percentile([one.late for one in results], 99)),
    }


def by_stream(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Return the figures of each stream."""
    names = dict.fromkeys(one.stream for one in results)
    return {name: figures([one for one in results if one.stream == name]) for name in names}


def doubts(load: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Return why the figures of a load can't be believed.

    Args:
        load: figures(), and by_stream() as its `streams`.
        wanted: names of all streams.
    """
    found = [f"{name}: was not asked for once" for name in wanted if name not in load["streams"]]
    if load["late_p99_ms"] > LATEST_MS:
        found.append(f"the load began its requests up to {load['late_p99_ms']} ms late: this machine is too busy")
    return found


def within(results: Iterable[Result], span: Span) -> list[Result]:
    """Return the requests that were due in a span."""
    return [one for one in results if span.begin <= one.due < span.end]


def began(one: Result) -> float:
    """Return when a request began, in Unix seconds."""
    return one.due + one.late


def ended(one: Result) -> float:
    """Return when a request had ended, in Unix seconds."""
    return one.due + one.seconds


def failures(results: Iterable[Result]) -> list[Result]:
    """Return the requests that failed, in the order of time."""
    return sorted((one for one in results if one.outcome != OK), key=lambda one: one.due)


def unexplained(results: Sequence[Result], kills: Sequence[Span]) -> list[Result]:
    """Return the failed requests that no kill explains, in the order of time.

    A kill happens at some moment of its span. It explains that a request lost its connection that had begun by the
    span's end and had not ended before its begin: of as many as were under way at once, and of no more.
    """
    explained: set[Result] = set()
    for kill in kills:
        near = [one for one in results if began(one) <= kill.end and ended(one) >= kill.begin]
        # More of them than before only ever since another one has begun.
        moments = {max(kill.begin, began(one)) for one in near}
        most = max((sum(began(one) <= at <= ended(one) for one in near) for at in moments), default=0)
        explained.update([one for one in failures(near) if one.outcome in LOST][:most])
    return [one for one in failures(results) if one not in explained]
