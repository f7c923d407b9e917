"""More pods under load, and fewer after it: how soon, whether their number goes to and fro, and whom site.yml obeys.

On a kind cluster with metrics-server, which site.yml installs: the web pods of an idle application are watched, then a
load goes through the ingress until the autoscaler has added pods, and for some minutes more; site.yml runs in the
middle and must change nothing; the load ends, and the first number must come back. The load must be one that fewer pods
than the most suffice for: at its bounds an autoscaler keeps still, whatever it would do. CLUSTER names the cluster
(test), LOAD_RATE the requests a second (50). Results: build/prove/autoscaling.json, with every sample.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "bench"), str(Path(__file__).parent)]

from cluster import docker, kind
from cluster.kind import kubectl
from cluster.shell import Failure, fail, repeated, run, say, step
from load import exchange
from load.report import figures
from load.steady import read
from under_load import CLUSTER, INVENTORY, settled

RESULTS = PROJECT / "build" / "prove" / "autoscaling.json"
RATE = float(os.environ.get("LOAD_RATE") or 50)
APP = ("-n", exchange.NAMESPACE)
WEB = "app.kubernetes.io/name=exchange,app.kubernetes.io/component=web"
SCALING = {
    "enabled": True,
    "min_replicas": 2,
    "max_replicas": 7,
    "cpu_percent": 70,
    "scale_down_stabilization_seconds": 120,
}
VARIABLES: dict[str, Any] = {
    **exchange.VARIABLES,
    "platform_components": ["ingress_nginx", "postgres", "exchange_app", "metrics_server"],
    "exchange_app_autoscaling": SCALING,
    # Seven web pods, twice while they are replaced, keep up to 112 connections; kind's small database has 46.
    "postgres_memory_limit": "1Gi",
    "postgres_parameters": {"max_connections": 130},
}
# The autoscaler takes a tenth more for nothing.
CROSSED_PERCENT = 1.1 * SCALING["cpu_percent"]
UP_SECONDS = 60
SAMPLE_SECONDS = 2.0
# How long the load goes on once there are pods enough.
HOLD_SECONDS = 180
# A busy API may leave one call without an answer. After so many in a row nobody knows what the autoscaler did.
MISSES = 10


@dataclass(frozen=True)
class Sample:
    """What there was at a moment, in Unix seconds: CPU of the web pods in percent of their requests, and their number.

    `wanted` is the autoscaler's number, as the Deployment has it. No percentage: nobody knew it.
    """

    at: float
    percent: float | None
    wanted: int
    ready: int


def cores(quantity: str) -> float:
    """Return how many cores a quantity means: 12345678n, 250m, 2."""
    scale = {"n": 1e-9, "u": 1e-6, "m": 1e-3}.get(quantity[-1])
    return float(quantity) if scale is None else float(quantity[:-1]) * scale


def site() -> int:
    """Run site.yml; return how many tasks changed something."""
    output = run(["ansible-playbook", "site.yml", *INVENTORY, "-e", json.dumps(VARIABLES)], cwd=PROJECT)
    changed = re.search(r"changed=(\d+)", output)
    return int(changed[1]) if changed else -1


def sample() -> Sample:
    """Look at the cluster."""
    deployment = json.loads(kubectl(CLUSTER, *APP, "get", "deployment", "exchange-web", "-o", "json"))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    request = cores(container["resources"]["requests"]["cpu"])
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{exchange.NAMESPACE}/pods?labelSelector={quote(WEB)}"
    try:
        pods = json.loads(kubectl(CLUSTER, "get", "--raw", path))["items"]
    except Failure:
        pods = []  # as the autoscaler has it then, which waits for figures
    used = [cores(one["usage"]["cpu"]) for pod in pods for one in pod["containers"]]
    percent = 100 * sum(used) / len(used) / request if used else None
    return Sample(time.time(), percent, deployment["spec"]["replicas"], deployment["status"].get("readyReplicas", 0))


@contextmanager
def watching(samples: list[Sample]) -> Iterator[None]:
    """Take samples while the block runs.

    Raises:
        Failure: none could be taken, MISSES times in a row.
    """
    missed: list[Failure] = []

    def watch() -> None:
        if len(missed) == MISSES:
            return
        try:
            samples.append(sample())
            missed.clear()
        except Failure as failure:
            missed.append(failure)

    try:
        with repeated(watch, SAMPLE_SECONDS):
            yield
    finally:
        if len(missed) == MISSES:
            raise Failure(f"no sample could be taken any more: {missed[-1]}") from missed[-1]


def eventually(what: str, seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for something.

    Raises:
        Failure: it didn't happen in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"not after {seconds:g} s: {what}")
        time.sleep(1)


def first(samples: Sequence[Sample], condition: Callable[[Sample], bool]) -> float | None:
    """Return when something was so for the first time."""
    return next((one.at for one in samples if condition(one)), None)


def turns(numbers: Sequence[int]) -> int:
    """Return how often a sequence changes its direction: 2, 4, 4, 3, 2 does once."""
    steps = [later - earlier for earlier, later in pairwise(numbers) if later != earlier]
    return sum((one > 0) != (other > 0) for one, other in pairwise(steps))


def judge(samples: Sequence[Sample], changed: int) -> tuple[dict[str, Any], list[str]]:
    """Return what was seen, and what of it isn't as promised."""
    crossed = first(samples, lambda one: (one.percent or 0) > CROSSED_PERCENT)
    scaled = first(samples, lambda one: one.wanted > SCALING["min_replicas"])
    took = None if crossed is None or scaled is None else round(scaled - crossed, 1)
    wanted = [one.wanted for one in samples]
    found = {
        "seconds_from_crossing_to_more_pods": took,
        "most_pods": max(wanted, default=0),
        "turns": turns(wanted),
        "last": wanted[-1] if wanted else 0,
        "changed_by_site": changed,
    }
    wrong = []
    if took is None or took > UP_SECONDS:
        wrong.append(
            f"more pods {took} s after the CPU crossed {CROSSED_PERCENT:.0f} %; expected at most {UP_SECONDS} s"
        )
    if found["turns"] != 1 or found["last"] != SCALING["min_replicas"]:
        wrong.append(f"the number of pods went to and fro, or didn't come back: {wanted}")
    if found["most_pods"] >= SCALING["max_replicas"]:
        wrong.append(
            f"{found['most_pods']} pods are the most there may be, so nothing went to and fro: lower LOAD_RATE"
        )
    if changed != 0:
        wrong.append(f"site.yml in the middle says changed={changed}")
    return found, wrong


def remove_metrics_server() -> None:
    """Leave the cluster as other campaigns find it: the API first, since without its server no namespace goes."""
    ours = "app.kubernetes.io/name=metrics-server,app.kubernetes.io/part-of=cryptoexchange"
    kubectl(CLUSTER, "delete", "apiservices", "-l", ours)
    kubectl(CLUSTER, "delete", "namespace", "exchange-metrics", "--ignore-not-found", "--timeout=120s")
    kubectl(CLUSTER, "delete", "clusterroles,clusterrolebindings", "-l", ours)
    kubectl(CLUSTER, "-n", "kube-system", "delete", "rolebindings", "-l", ours)
    kubectl(CLUSTER, "-n", "exchange-platform", "delete", "configmap", "objects-metrics-server", "--ignore-not-found")


def main() -> int:
    """Do it."""
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    folder = RESULTS.parent / "autoscaling"
    folder.mkdir(parents=True, exist_ok=True)
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    kind.load(CLUSTER, ["metrics_server"])
    with step("site.yml, with metrics-server and an autoscaler", 180):
        run(["ansible-playbook", "site.yml", *INVENTORY], cwd=PROJECT)
        exchange.mount(CLUSTER)
        site()
        settled()
    with step("Wait until the application is idle", 120):
        # A pod that has just started was busy with that.
        eventually(
            "less CPU than half of what is allowed", 300, lambda: (sample().percent or 1e9) < CROSSED_PERCENT / 2
        )
        minimum = SCALING["min_replicas"]
        eventually(f"{minimum} pods", 300, lambda: sample().wanted == minimum)
    samples: list[Sample] = []
    record = folder / "record.csv"
    trusted = exchange.authority(CLUSTER, folder)
    report: dict[str, Any] = {}
    try:
        with watching(samples):
            with (
                step(f"{RATE:g} requests a second until there are more pods", 60),
                exchange.steady(
                    record, exchange.plain_streams(RATE), exchange.base_url(), address=CLUSTER.address, ca_file=trusted
                ),
            ):
                eventually("more pods", 180, lambda: bool(samples) and samples[-1].wanted > SCALING["min_replicas"])
                settled()
                with step("site.yml in the middle", 60):
                    changed = site()
                with step("The load goes on", HOLD_SECONDS):
                    time.sleep(HOLD_SECONDS)
            with step("No load, until there are as few pods as before", 180):
                eventually("as few pods as before", 420, lambda: samples[-1].wanted == SCALING["min_replicas"])
                time.sleep(60)
        found, wrong = judge(samples, changed)
        report |= {**found, "load": figures(read(record)), "wrong": wrong}
    finally:
        # Whatever went wrong, they say more of it than an error does.
        RESULTS.write_text(json.dumps({**report, "samples": [asdict(one) for one in samples]}, indent=1))
    with step("The application as the inventory has it", 60):
        run(["ansible-playbook", "site.yml", *INVENTORY], cwd=PROJECT)
        exchange.unmount(CLUSTER)
        remove_metrics_server()
    say(f"    {json.dumps(found)}")
    return fail("; ".join(wrong)) if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
