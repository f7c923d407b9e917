"""What a load saw, as numbers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

from markets.load.client import Reply

PERCENTILES: Final = (50, 95, 99)


class Tally:
    """Counts, from several threads."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._lock = threading.Lock()
        self._started_at = self._ended_at = 0.0
        self._seconds: list[float] = []  # of acknowledged orders, from the first try to the acknowledgement
        self._acknowledged_at: list[float] = []
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._first_failures: Counter[str] = Counter()
        self._later_failures: Counter[str] = Counter()
        self._waiting = 0

    def start(self) -> None:
        """Note when the load began."""
        self._started_at = time.monotonic()

    def end(self) -> None:
        """Note when it ended."""
        self._ended_at = time.monotonic()

    def add(self, what: str, reply: Reply | None, seconds: float, tries: int) -> None:
        """Count an order or a cancel that has come to its end; no reply: it was given up."""
        now = time.monotonic()
        with self._lock:
            if tries > 1:
                self._counts[f"{what} retried"] += 1
                self._counts["retries"] += tries - 1
            if reply is None:
                self._counts[f"{what} given up"] += 1
            elif reply.status in {200, 201}:
                self._counts[f"{what} acknowledged"] += 1
                self._counts["answers replayed"] += reply.headers.get("idempotency-replayed") == "true"
                if what == "orders":
                    self._counts["trades"] += len(reply.body["trades"])
                    self._seconds.append(seconds)
                    self._acknowledged_at.append(now)
            else:
                code = reply.body.get("code", "") if isinstance(reply.body, dict) else "not JSON"
                self._refused[f"{what}: {reply.status} {code}".rstrip()] += 1

    def count_failure(self, failure: str, *, first: bool) -> None:
        """Count a try after which nobody knew whether it did anything."""
        with self._lock:
            (self._first_failures if first else self._later_failures)[failure] += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count who waits before trying again."""
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def acknowledged(self) -> int:
        """Return how many orders were acknowledged so far."""
        with self._lock:
            return self._counts["orders acknowledged"]

    def line(self) -> str:
        """Say in one line how it is going."""
        with self._lock:
            failures = sum(self._first_failures.values()) + sum(self._later_failures.values())
            return (
                f"{time.monotonic() - self._started_at:6.0f} s  {self._counts['orders acknowledged']} orders, "
                f"{failures} failed tries, {self._waiting} wait to try again, "
                f"{self._counts['orders given up']} given up"
            )

    def summary(self) -> dict[str, Any]:
        """Return everything."""
        with self._lock:
            duration = self._ended_at - self._started_at
            known = [self._started_at, *sorted(self._acknowledged_at), self._ended_at]
            gaps = [after - before for before, after in pairwise(known)]
            orders = self._counts["orders acknowledged"]
            return {
                "seconds": round(duration, 3),
                "orders_acknowledged": orders,
                "orders_per_second": round(orders / duration, 2) if duration else 0.0,
                "trades": self._counts["trades"],
                "cancels_acknowledged": self._counts["cancels acknowledged"],
                "latency_ms": percentiles_ms(self._seconds),
                "longest_gap_seconds": round(max(gaps), 3),
                "first_tries_failed": dict(self._first_failures),
                "later_tries_failed": dict(self._later_failures),
                "orders_retried": self._counts["orders retried"],
                "cancels_retried": self._counts["cancels retried"],
                "retries": self._counts["retries"],
                "answers_replayed": self._counts["answers replayed"],
                "refused": dict(self._refused),
                "orders_given_up": self._counts["orders given up"],
                "cancels_given_up": self._counts["cancels given up"],
            }


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return percentiles and the greatest, in milliseconds (nearest rank)."""
    if not seconds:
        return {}
    found = sorted(seconds)
    ranks = {f"p{percent}": -(-len(found) * percent // 100) - 1 for percent in PERCENTILES}
    return {name: round(found[rank] * 1000, 1) for name, rank in ranks.items()} | {"max": round(found[-1] * 1000, 1)}


def table(summary: dict[str, Any]) -> str:
    """Write a summary for people."""
    rows = []
    for name, value in summary.items():
        text = (
            ", ".join(f"{key} {number}" for key, number in value.items()) or "-" if isinstance(value, dict) else value
        )
        rows.append(f"{name.replace('_', ' '):<22} {text}")
    return "\n".join(rows)
