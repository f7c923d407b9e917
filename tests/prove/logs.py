"""50,000 lines at 500 a second through a real pod: as it is, with Loki away for two minutes, with collectors killed.

Of each part it is seen how many lines are missing and doubled in Loki, and after how long they could be read. Makes the
demo's cluster and installs `logging` there, unless they are there. LINES, RATE and PARTS (quiet, loki_down,
collector_killed) choose less. Raw results: build/prove/logs.json, written after each part.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "collections")]

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import log_canary
from cluster import docker, images, kind
from cluster.kind import kubectl
from cluster.shell import Failure, fail, run, say, step
from kubernetes import config

CLUSTER = kind.CLUSTERS["demo"]
LINES, RATE = int(os.environ.get("LINES", "50000")), float(os.environ.get("RATE", "500"))
RESULTS = PROJECT / "build" / "prove" / "logs.json"
MONITORING, AGENTS = ("-n", "exchange-monitoring"), ("-n", "exchange-node-agents")
AWAY_SECONDS, KILLS = 120, 10
PROGRAM = "otelcol-contrib"


def install() -> None:
    """Make the cluster and install Loki and the collectors, unless they are there."""
    kind.up(CLUSTER)
    if "loki" not in kubectl(CLUSTER, *MONITORING, "get", "statefulset", "-o", "name"):
        command = ["ansible-playbook", "playbooks/logging.yml", "-i", "inventories/kind"]
        run([*command, "-e", '{"platform_components": ["logging"]}'], cwd=PROJECT)


def quiet() -> dict[str, Any]:
    """Leave everything as it is."""
    return {}


def loki_down() -> dict[str, Any]:
    """Take Loki away for two minutes, from a quarter of the lines on."""
    time.sleep(LINES / RATE / 4)
    begun = time.time()
    kubectl(CLUSTER, *MONITORING, "scale", "statefulset/loki", "--replicas=0")
    kubectl(CLUSTER, *MONITORING, "wait", "pod/loki-0", "--for=delete", "--timeout=150s")
    time.sleep(AWAY_SECONDS)
    kubectl(CLUSTER, *MONITORING, "scale", "statefulset/loki", "--replicas=1")
    kubectl(CLUSTER, *MONITORING, "rollout", "status", "statefulset/loki", "--timeout=300s")
    return {"away_seconds": round(time.time() - begun, 1)}


def collector_killed() -> dict[str, Any]:
    """Kill the collector on the writer's node ten times, evenly over the lines."""
    node = ""
    while not node:
        time.sleep(1)
        selector = f"app.kubernetes.io/name={log_canary.NAME}"
        node = kubectl(CLUSTER, *MONITORING, "get", "pod", "-l", selector, "-o", "jsonpath={.items[*].spec.nodeName}")
    killed = []
    for _ in range(KILLS):
        time.sleep(LINES / RATE / (KILLS + 1))
        killed.append(kill_collector(node))
    return {"node": node, "killed_processes": killed}


def kill_collector(node: str) -> int:
    """Kill the collector's process on a node, and let it be started again without a delay that grows; return its id.

    Raises:
        Failure: none ran there within a minute.
    """
    selector = (*AGENTS, "-l", "app.kubernetes.io/name=collector", f"--field-selector=spec.nodeName={node}")
    kill = (
        f'for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = {PROGRAM} ]'
        " && kill -KILL ${p#/proc/} && echo ${p#/proc/}; done; true"
    )
    deadline = time.monotonic() + 60
    while not (found := run(["docker", "exec", node, "sh", "-c", kill]).split()):
        if time.monotonic() > deadline:
            raise Failure(f"no collector ran on {node} within a minute")
        time.sleep(0.5)
    # kubelet waits longer after each death of a pod's container; a new pod begins at once.
    kubectl(CLUSTER, "delete", "pod", *selector, "--grace-period=0", "--force", "--wait=false")
    return int(found[0])


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "quiet": quiet,
    "loki_down": loki_down,
    "collector_killed": collector_killed,
}


def part(name: str) -> dict[str, Any]:
    """Write lines while something is done, and return what became of them."""
    client = config.new_client_from_config(str(CLUSTER.kubeconfig))
    canary = log_canary.Canary(client, MONITORING[1], log_canary.Loki(client, MONITORING[1]))
    image = next(image.reference for image in images.platform_images() if image.name == "backup")
    program = (PROJECT / "roles" / "verify" / "files" / "canary.py").read_text()
    done: dict[str, Any] = {}

    def disturb() -> None:
        try:
            done.update(PARTS[name]())
        except (Failure, subprocess.SubprocessError) as error:
            done["problem"] = str(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    record = canary.run(image, program, LINES, RATE, patience=AWAY_SECONDS + 300, say=say)
    thread.join()
    return {"part": name, **record, **done}


def main() -> int:
    """Do all parts; say whether nothing was missing or doubled, and whether it was soon enough if nothing was done."""
    kind.refuse_existing()
    docker.ensure()
    install()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    records, wrong = [], []
    for name in os.environ.get("PARTS", ",".join(PARTS)).split(","):
        with step(f"{LINES} lines at {RATE:g} a second: {name}", LINES / RATE):
            record = part(name)
        records.append(record)
        RESULTS.write_text(json.dumps(records, indent=2) + "\n")
        # What waits for Loki is late of course.
        found = log_canary.report(record, 5 if name == "quiet" else float("inf"))
        say("\n".join(f"    {line}" for line in found["table"]))
        wrong += [f"{name}: {text}" for text in found["problems"]]
    return fail("; ".join(wrong)) if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
