"""make bench-rollout: latencies before, during and after a rollout, and what the ingress adds to calling pods directly.

On the demo's cluster, with a load at a constant rate (RATE, 60 a second) through the ingress: TRIALS rollouts (3) as
continuous delivery does them, then as many pairs of SECONDS_EACH (20) towards the ingress and past it, over a NodePort
of the web pods that is there for so long. INGRESS_ADDRESS is another address of the ingress. Prints a table and keeps
all raw trials in build/bench/rollout.json. Fails only if it couldn't measure, or if a request failed.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests"))

from cluster import docker, kind
from cluster.kind import CLUSTERS, kubectl
from cluster.paths import tools
from cluster.shell import Failure, fail, run, say, step
from load import exchange
from load.report import Span, by_stream, failures, figures, within
from load.steady import Stream, read

CLUSTER = CLUSTERS[os.environ.get("CLUSTER", "demo")]
INVENTORY = ["-i", "inventories/kind", *(["-i", "build/test/inventory"] if CLUSTER is CLUSTERS["test"] else [])]
ADDRESS = os.environ.get("INGRESS_ADDRESS") or CLUSTER.address
RATE = float(os.environ.get("RATE") or 60)
TRIALS = int(os.environ.get("TRIALS") or 3)
SECONDS = float(os.environ.get("SECONDS_EACH") or 20)
RESULTS = PROJECT / "build" / "bench" / "rollout.json"
APP = ("-n", exchange.NAMESPACE)
DIRECT = "exchange-web-bench"
SPANS = ("before", "during", "after")


def playbook(variables: dict[str, Any]) -> None:
    """Run the application's playbook."""
    run(["ansible-playbook", "playbooks/app.yml", *INVENTORY, "-e", json.dumps(variables)], cwd=PROJECT)


def roll_out(number: int) -> None:
    """Replace every pod, as a new version does, by Helm."""
    run(
        [
            tools() / "helm", "upgrade", "exchange", PROJECT / "charts" / "exchange", "--namespace", "exchange",
            "--kubeconfig", CLUSTER.kubeconfig, "--reset-then-reuse-values", "--wait", "--timeout", "600s",
            "--set-string", f"podAnnotations.bench=rollout-{number}-{int(time.time())}",
        ]
    )  # fmt: skip


@contextmanager
def node_port() -> Iterator[str]:
    """Open the web pods on a port of every node while the block runs; yields where."""
    selector = {"app.kubernetes.io/name": "exchange", "app.kubernetes.io/component": "web"}
    metadata = {"name": DIRECT, "namespace": exchange.NAMESPACE}
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"type": "NodePort", "selector": selector, "ports": [{"port": 80, "targetPort": "http"}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                "podSelector": {"matchLabels": selector},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
            },
        },
    ]
    kubectl(CLUSTER, "apply", "--server-side", "-f", "-", text_in=yaml.safe_dump_all(objects))
    try:
        port = kubectl(CLUSTER, *APP, "get", "service", DIRECT, "-o", "jsonpath={.spec.ports[0].nodePort}")
        internal = 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'
        yield f"http://{kubectl(CLUSTER, 'get', 'nodes', '-o', internal)}:{port}"
    finally:
        kubectl(CLUSTER, *APP, "delete", "service,networkpolicy", DIRECT)


def rollout_trial(number: int, folder: Path, trusted: Path) -> dict[str, Any]:
    """Measure one rollout."""
    record = folder / f"rollout-{number}.csv"
    url = exchange.base_url()
    with exchange.steady(record, exchange.plain_streams(RATE), url, address=ADDRESS, ca_file=trusted):
        time.sleep(SECONDS)
        begin = time.time()
        roll_out(number)
        # The old pods are going for a while after the new ones are ready.
        time.sleep(SECONDS)
        end = time.time()
        time.sleep(SECONDS)
    results = read(record)
    spans = (Span("before", 0, begin), Span("during", begin, end), Span("after", end, float("inf")))
    return {
        **{span.name: figures(within(results, span)) for span in spans},
        "seconds": round(end - begin, 1),
        "failures": [one.__dict__ for one in failures(results)],
    }


def pair(number: int, folder: Path, direct: str, trusted: Path) -> dict[str, Any]:
    """Measure the same requests through the ingress and past it."""
    host = exchange.base_url().removeprefix("https://")
    headers = {"Host": host, "X-Forwarded-Proto": "https"}
    streams = exchange.plain_streams(RATE)
    past = [Stream(**{**one.__dict__, "headers": headers}) for one in streams]
    found = {}
    for name, url, address, wanted, ca_file in (
        ("ingress", exchange.base_url(), ADDRESS, streams, trusted),
        ("direct", direct, "", past, None),
    ):
        record = folder / f"{name}-{number}.csv"
        with exchange.steady(record, wanted, url, address=address, ca_file=ca_file):
            time.sleep(SECONDS)
        results = read(record)
        found[name] = {**by_stream(results), "failures": [one.__dict__ for one in failures(results)]}
    return found


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(statistics.median(values))


def table(rollouts: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the figures as lines, and one that sums them up."""
    lines = [f"{'figure':52}{'median':>9}  {'unit':6}{'peer':38}{'ratio':>7}"]
    for key in ("p50_ms", "p99_ms"):
        before = median([one["before"][key] for one in rollouts])
        for span in SPANS:
            value = median([one[span][key] for one in rollouts])
            peer, ratio = ("", "") if span == "before" else (f"before: {before:.1f}", f"{value / before:.2f}")
            lines.append(
                f"{f'{key[:3]} {span} a rollout, through the ingress':52}{value:9.1f}  {'ms':6}{peer:38}{ratio:>7}"
            )
    added = {}
    for name in exchange.SHARES:
        for key in ("p50_ms", "p99_ms"):
            through, past = (median([one[way][name][key] for one in pairs]) for way in ("ingress", "direct"))
            added[name, key] = through - past
            peer = f"pod directly: {past:.1f}"
            lines.append(
                f"{f'{key[:3]} {name}, through the ingress':52}{through:9.1f}  {'ms':6}{peer:38}{through / past:7.2f}"
            )
    kept, new = (added[name, "p50_ms"] for name in ("GET, kept-alive", "GET, new connections"))
    lines.append("")
    lines.append(f"medians: the ingress adds {kept:.1f} ms to a GET on a kept-alive connection")
    lines.append(f"and {new:.1f} ms to one on a new connection, which begins with a TLS handshake (a pod has none)")
    return lines


def main() -> int:
    """Measure, print, and keep the raw trials."""
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    folder = RESULTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    kind.refuse_existing()
    docker.ensure()
    with step("The application with the pages that the load needs", 60):
        exchange.mount(CLUSTER)
        playbook(exchange.VARIABLES)
    trusted = exchange.authority(CLUSTER, folder)
    try:
        rollouts = []
        for number in range(1, TRIALS + 1):
            with step(f"rollout {number} of {TRIALS}", 60 + 3 * SECONDS):
                rollouts.append(rollout_trial(number, folder, trusted))
        with node_port() as direct, step(f"{TRIALS} times through the ingress and past it", 2 * TRIALS * SECONDS):
            pairs = [pair(number, folder, direct, trusted) for number in range(1, TRIALS + 1)]
    finally:
        with step("The application as the inventory has it", 60):
            playbook({})
            exchange.unmount(CLUSTER)
    failed = [one for trial in rollouts for one in trial["failures"]]
    failed += [one for trial in pairs for way in trial.values() for one in way["failures"]]
    RESULTS.write_text(json.dumps({"rate": RATE, "rollouts": rollouts, "ingress_and_direct": pairs}, indent=1))
    if failed:
        # Of a stretch in which nothing was answered there is no median either.
        return fail(f"{len(failed)} requests failed; see {RESULTS}")
    say("\n" + "\n".join(table(rollouts, pairs)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
