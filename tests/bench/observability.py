"""make bench-observability: what figures, alerts and logs cost at rest, and how soon a line can be read.

Reads each container's memory and processor time from the kubelets, twice, MINUTES apart (5); then how many series
there are; then writes LINES (50,000) lines at RATE (500) a second. Next to it stands what all pods take in the same
minutes. Prints tables and writes all to build/bench/observability.json. Fails if it couldn't measure, if a line
is missing, or if the set takes more than is promised.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "collections")]

from cluster.kind import CLUSTERS, kubectl
from cluster.shell import fail, say, step
from prove import logs

CLUSTER = CLUSTERS["demo"]
MINUTES = float(os.environ.get("MINUTES", "5"))
OURS = {"exchange-monitoring", "exchange-node-agents"}
GIBIBYTE = 1 << 30
# What the set may take at rest.
MOST_MEMORY, MOST_CORES = 1.2 * GIBIBYTE, 0.3
LARGEST = 10

Figures = dict[tuple[str, str, str], tuple[int, int]]


def read() -> Figures:
    """Return memory in bytes and processor time in nanoseconds of each container, by namespace, pod and container."""
    found: Figures = {}
    for node in kubectl(CLUSTER, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split():
        summary = json.loads(kubectl(CLUSTER, "get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        for pod in summary["pods"]:
            where = (pod["podRef"]["namespace"], pod["podRef"]["name"])
            for container in pod.get("containers") or []:
                if "workingSetBytes" in container.get("memory", {}):
                    figures = (container["memory"]["workingSetBytes"], container["cpu"]["usageCoreNanoSeconds"])
                    found[(*where, container["name"])] = figures
    return found


def at_rest() -> tuple[dict[str, list[float]], list[float], float]:
    """Return bytes and cores of each component of the set, of everything on the cluster, and the seconds between."""
    first, begun = read(), time.monotonic()
    time.sleep(MINUTES * 60)
    last, seconds = read(), time.monotonic() - begun
    components: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    everything = [0.0, 0.0]
    for key in first.keys() & last.keys():
        memory = max(first[key][0], last[key][0])
        cores = (last[key][1] - first[key][1]) / 1e9 / seconds
        for sums in (everything, *([components[key[2]]] if key[0] in OURS else [])):
            sums[0] += memory
            sums[1] += cores
    return dict(components), everything, seconds


def series() -> tuple[int, list[tuple[str, int]]]:
    """Return how many series are active, and the metrics that have most."""
    path = "/api/v1/namespaces/exchange-monitoring/pods/prometheus-0:9090/proxy/api/v1/status/tsdb"
    data: dict[str, Any] = json.loads(kubectl(CLUSTER, "get", "--raw", path))["data"]
    listed = [(one["name"], one["value"]) for one in data["seriesCountByMetricName"]]
    return data["headStats"]["numSeries"], listed[:LARGEST]


def main() -> int:
    """Measure, print, and keep the raw figures."""
    if "prometheus" not in kubectl(CLUSTER, "-n", "exchange-monitoring", "get", "statefulset", "-o", "name"):
        return fail("no Prometheus on the demo's cluster: make demo")
    with step(f"Look at what everything takes at rest, for {MINUTES:g} min", MINUTES * 60):
        components, everything, seconds = at_rest()
    active, largest = series()
    with step(f"{logs.LINES} lines at {logs.RATE:g} a second", logs.LINES / logs.RATE):
        arrival = logs.part("quiet")
    memory, cores = (sum(one[index] for one in components.values()) for index in (0, 1))
    record = {
        "seconds": seconds,
        "components": {name: {"bytes": one[0], "cores": one[1]} for name, one in components.items()},
        "observability": {"bytes": memory, "cores": cores},
        "whole_cluster_pods": {"bytes": everything[0], "cores": everything[1]},
        "active_series": active,
        "largest_metrics": dict(largest),
        "log_arrival": arrival,
    }
    file = PROJECT / "build" / "bench" / "observability.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=2) + "\n")
    say(f"\n{'container':28} {'MiB':>8} {'cores':>8}")
    for name, (taken, used) in sorted(components.items(), key=lambda one: -one[1][0]):
        say(f"{name:28} {taken / (1 << 20):8.0f} {used:8.3f}")
    say(f"{'all of them':28} {memory / (1 << 20):8.0f} {cores:8.3f}")
    say(f"{'may be':28} {MOST_MEMORY / (1 << 20):8.0f} {MOST_CORES:8.3f}")
    say(f"{'part of all pods':28} {memory / everything[0]:8.2f} {cores / everything[1]:8.2f}")
    say(f"\n{active} active series; the most have")
    for name, count in largest:
        say(f"    {count:6}  {name}")
    found = logs.log_canary.report(arrival, float("inf"))
    say("\n" + "\n".join(f"    {line}" for line in found["table"]))
    say(
        f"\nobservability takes {memory / GIBIBYTE:.2f} GiB and {cores:.2f} cores at rest, holds {active} series; "
        f"99 % of {logs.LINES} lines could be read after {arrival.get('arrival_seconds', {}).get('p99', 'no')} s"
    )
    problems = list(found["problems"])
    if memory > MOST_MEMORY or cores > MOST_CORES:
        problems.append(f"more than the {MOST_MEMORY / GIBIBYTE:.1f} GiB and {MOST_CORES} cores that are promised")
    return fail("; ".join(problems)) if problems else 0


if __name__ == "__main__":
    sys.exit(main())
