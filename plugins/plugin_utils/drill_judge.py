"""What a drill's records say: how long writes paused, what failed, what was lost. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

# One attempt to write, as roles/verify/files/writer.py prints it.
Attempt = Mapping[str, Any]


def judge(
    attempts: Sequence[Attempt], beside: Sequence[Attempt], found: Collection[str], fault_at: float
) -> dict[str, Any]:
    """Return the figures of one trial.

    Args:
        attempts: of the writer that comes by the Service of the primary.
        beside: of a second writer that goes to the first primary directly; may be empty.
        found: ids that the database holds in the end.
        fault_at: when the fault began, by the writers' clock.

    Returns:
        ``gap_seconds`` (the longest time without an acknowledgement, among those that end after the fault),
        ``resumed_after_seconds`` (from the fault to the end of that gap), counts ``acknowledged``, ``failed`` (since
        the fault), ``failed_after_resume`` (begun after the gap's end), ``late`` (each of these: when it began, since
        the fault, and how long before that an attempt begun before the gap's end had come from the same port, or None)
        and ``failed_on_used_port`` (how many of them had such a port), ``errors`` (text: count), ``lost``
        (acknowledged ids that aren't there), ``kept_unacknowledged`` (how many are there nevertheless), ``overlaps``
        (ids acknowledged by one server though begun after a later one had acknowledged), ``latency_ms`` (median and
        95th percentile of the writes acknowledged before the fault and after the gap).
    """
    kept = sorted((one for one in attempts if not one.get("error")), key=lambda one: one["ended"])
    before = [one for one in kept if one["ended"] <= fault_at]
    after = [one for one in kept if one["ended"] > fault_at]
    gap, resumed = 0.0, None
    for one, other in zip([*before[-1:], *after], after, strict=False):
        if other["ended"] - one["ended"] > gap:
            gap, resumed = other["ended"] - one["ended"], other["ended"]
    failures = [one for one in attempts if one.get("error") and one["ended"] > fault_at]
    late = [one for one in failures if resumed is not None and one["began"] > resumed]
    # The node that a client is on remembers for two minutes where the Service led an attempt. It leads a later one from
    # the same port there too, whatever the Service says by then, unless the first was ended properly by the client.
    used = {one["port"]: one["began"] for one in attempts if one.get("port") and one["began"] <= (resumed or 0)}
    since = [one["began"] - used[one["port"]] if one.get("port") in used else None for one in late]
    everything = [*attempts, *beside]
    acknowledged = {one["id"] for one in everything if not one.get("error")}
    settled = [one for one in after if resumed is not None and one["began"] >= resumed]
    return {
        "gap_seconds": round(gap, 3),
        "resumed_after_seconds": round(resumed - fault_at, 3) if resumed is not None else None,
        "attempts": len(everything),
        "acknowledged": len(acknowledged),
        "acknowledged_beside": sum(not one.get("error") for one in beside),
        "failed": len(failures),
        "failed_after_resume": len(late),
        "failed_on_used_port": sum(one is not None for one in since),
        "late": [
            [round(one["began"] - fault_at, 3), ago and round(ago, 3)] for one, ago in zip(late, since, strict=True)
        ],
        "errors": dict(Counter(brief(one["error"]) for one in failures).most_common()),
        "lost": sorted(acknowledged - set(found)),
        "kept_unacknowledged": len(set(found) - acknowledged),
        "overlaps": overlaps(everything),
        "latency_ms": {"before": latency(before), "after": latency(settled)},
    }


def overlaps(attempts: Sequence[Attempt]) -> list[str]:
    """Return writes that a server acknowledged though another had taken over before they began.

    A server's reign begins with the first write that it acknowledges. A write that begins later, and that an earlier
    server acknowledges, shows two primaries at once. Nobody reigns twice in a trial.
    """
    reigns: dict[str, float] = {}
    for one in sorted((one for one in attempts if not one.get("error")), key=lambda one: one["ended"]):
        reigns.setdefault(one["server"], one["ended"])
    return [
        one["id"]
        for one in attempts
        if not one.get("error")
        and any(reigns[one["server"]] < start < one["began"] for server, start in reigns.items())
    ]


def latency(attempts: Sequence[Attempt]) -> dict[str, float]:
    """Return median and 95th percentile of connecting, writing and committing, in milliseconds."""
    took = [1000 * (one["ended"] - one["began"]) for one in attempts]
    if len(took) < 2:  # noqa: PLR2004
        return {}
    return {"median": round(statistics.median(took), 1), "p95": round(percentile(took, 95), 1)}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least so many percent of the values don't exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def brief(error: str) -> str:
    """Return the part of an error that is the same for many: without the address in front."""
    return error.rpartition("failed: ")[2][:120]
