"""What the exchange's customers notice of maintenance: traders trade over the ingress while it is done.

For each operation: the record of the load says how many requests were answered at the first try, how many needed one
more and how many more than that; afterwards every acknowledged order must be there once and the books must balance.
Raw results: build/prove/under_load.json, written after each operation; a stopped campaign goes on from there.

Each is done once as installed and once with PgBouncer before the database (`drain` and `drain/pgbouncer`). CLUSTER
names the cluster (test), OPERATIONS some of the operations, RATE the orders per second.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "bench")]

from cluster import docker, kind
from cluster.kind import kubectl
from cluster.shell import Failure, fail, run, say, step
from exchange_load import trading

CLUSTER = kind.CLUSTERS[os.environ.get("CLUSTER", "test")]
RATE = float(os.environ.get("RATE", "10"))
RESULTS = PROJECT / "build" / "prove" / "under_load.json"
INVENTORY = ["-i", "inventories/kind", *(["-i", "build/test/inventory"] if CLUSTER is kind.CLUSTERS["test"] else [])]
POOLED = "/pgbouncer"
DATABASE = ("-n", "exchange-database")
# The load alone, before and after: what happens in the last moment is seen as well.
QUIET_SECONDS = 10


def command(name: str, *, pooled: bool) -> list[str]:
    """Return the command that runs a playbook."""
    pooler = ["-e", '{"postgres_pgbouncer_enabled": true}'] if pooled else []
    return ["ansible-playbook", f"{name}.yml", *INVENTORY, *pooler]


def playbook(name: str, *arguments: str, pooled: bool) -> int:
    """Run a playbook; return how many tasks changed something."""
    output = run([*command(name, pooled=pooled), *arguments], cwd=PROJECT)
    changed = re.search(r"changed=(\d+)", output)
    return int(changed[1]) if changed else -1


def settled() -> None:
    """Wait until every replica of everything is ready again.

    Raises:
        Failure: it isn't, after five minutes.
    """
    deadline = time.monotonic() + 300
    while lacking := unready():
        if time.monotonic() > deadline:
            raise Failure(f"not ready after five minutes: {', '.join(lacking)}")
        time.sleep(1)


def unready() -> list[str]:
    """Return the workloads of which a replica isn't ready."""
    found = []
    for namespace in ("exchange", "exchange-database", "ingress-nginx", "ingress-standin"):
        listed = json.loads(kubectl(CLUSTER, "-n", namespace, "get", "deployments,statefulsets", "-o", "json"))
        found += [
            item["metadata"]["name"]
            for item in listed["items"]
            if item["status"].get("readyReplicas", 0) != item["spec"]["replicas"]
        ]
    return found


def primary() -> str:
    """Return the name of the pod that leads."""
    selector = "cluster-name=postgres,role=primary"
    return kubectl(CLUSTER, *DATABASE, "get", "pod", "-l", selector, "-o", "jsonpath={.items[0].metadata.name}")


def drain(*, pooled: bool) -> dict[str, Any]:
    """Drain each worker node in turn, and let it come back."""
    del pooled
    nodes = kubectl(
        CLUSTER,
        "get",
        "node",
        "-l",
        "!node-role.kubernetes.io/control-plane",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ).split()
    took = {}
    for node in nodes:
        begun = time.monotonic()
        try:
            kubectl(CLUSTER, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
            took[node] = round(time.monotonic() - begun, 1)
        finally:
            kubectl(CLUSTER, "uncordon", node)
        settled()
    return {"drained": took}


def rotate_passwords(*, pooled: bool) -> dict[str, Any]:
    """Give everything that logs in to the database a new password."""
    return {"changed": playbook("playbooks/rotate_passwords", pooled=pooled)}


def rotate_certificates(*, pooled: bool) -> dict[str, Any]:
    """Make new CAs, then new certificates of them: two runs of site.yml."""
    return {
        "changed, new CAs": playbook("site", "-e", "certificate_ca_renew_before_days=3651", pooled=pooled),
        "changed, new certificates": playbook("site", "-e", "certificate_renew_before_days=731", pooled=pooled),
        "changed, after that": playbook("site", pooled=pooled),
    }


def scale(*, pooled: bool) -> dict[str, Any]:
    """Let the database have 1, 3, 2, 1 and again 3 members."""
    return {
        f"changed, {number}. {members} members": playbook(
            "playbooks/database", "-e", f"postgres_replicas={members}", pooled=pooled
        )
        for number, members in enumerate((1, 3, 2, 1, 3), 1)
    }


def parameters(*, pooled: bool) -> dict[str, Any]:
    """Change a parameter that is reloaded, then one that needs a restart, then take both back."""
    return {
        "changed, reload": playbook(
            "playbooks/database", "-e", '{"postgres_parameters": {"work_mem": "5MB"}}', pooled=pooled
        ),
        "changed, restart": playbook(
            "playbooks/database", "-e", '{"postgres_parameters": {"max_connections": 120}}', pooled=pooled
        ),
        "changed, back": playbook("playbooks/database", pooled=pooled),
    }


def failover_during_site(*, pooled: bool) -> dict[str, Any]:
    """Kill the primary while site.yml runs, at three moments; no run reports a change."""
    changes = {}
    for seconds in (2, 6, 10):
        play = subprocess.Popen(
            command("site", pooled=pooled), cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        time.sleep(seconds)
        kubectl(CLUSTER, *DATABASE, "delete", "pod", primary(), "--wait=false")
        output, _ = play.communicate()
        changed = re.search(r"changed=(\d+)", output)
        if play.returncode != 0 or changed is None or int(changed[1]):
            raise Failure(f"site.yml, when the primary went after {seconds} s: {output[-3000:]}")
        changes[f"changed, primary gone after {seconds} s"] = int(changed[1])
        settled()
    return changes


# What is done, and how often a request may have to be sent at most. Where members are replaced the primary hands over,
# and a request that was under way then is sent once more.
OPERATIONS: dict[str, tuple[Callable[..., dict[str, Any]], int]] = {
    "drain": (drain, 2),
    "rotate_passwords": (rotate_passwords, 1),
    "rotate_certificates": (rotate_certificates, 1),
    "scale": (scale, 2),
    "parameters": (parameters, 2),
    "failover_during_site": (failover_during_site, 2),
}


def tally(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a record of trade_load says: requests by how many tries they needed, and why tries failed."""
    tries: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    slowest = 0.0
    for event in events:
        if event["event"] == "try":
            tries[event["key"]] += 1
        elif event["event"] == "failed":
            failures[str(event["failure"])] += 1
        elif event["event"] == "answered":
            slowest = max(slowest, event["seconds"])
            if event["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
                errors[str(event["status"])] += 1
    return {
        "requests": len(tries),
        "by_tries": {str(number): count for number, count in sorted(Counter(tries.values()).items())},
        "failures": dict(failures),
        # Answers that tell a client not to try again, and are our fault.
        "server_errors": dict(errors),
        "slowest_answer_seconds": round(slowest, 2),
    }


def trial(name: str) -> dict[str, Any]:
    """Carry out one operation under load."""
    pooled = name.endswith(POOLED)
    operation, _ = OPERATIONS[name.removesuffix(POOLED)]
    folder = RESULTS.parent / f"under_load-{name.replace('/', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    playbook("site", pooled=pooled)
    settled()
    begun = time.monotonic()
    with step(f"{name}, {RATE:g} orders a second beside"), trading(CLUSTER, folder, RATE):
        time.sleep(QUIET_SECONDS)
        facts = operation(pooled=pooled)
        settled()
        time.sleep(QUIET_SECONDS)
    record = [json.loads(line) for line in (folder / "load-record.jsonl").read_text().splitlines()]
    return {
        "operation": name,
        "seconds": round(time.monotonic() - begun),
        **tally(record),
        "facts": facts,
        "verdict": json.loads((folder / "load-verdict.json").read_text()),
    }


def main() -> int:
    """Run what is missing; return 1 if customers noticed more than they may."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    every = [*OPERATIONS, *(f"{name}{POOLED}" for name in OPERATIONS)]
    chosen = os.environ["OPERATIONS"].split(",") if os.environ.get("OPERATIONS") else every
    if unknown := set(chosen) - set(every):
        raise Failure(f"OPERATIONS: {', '.join(sorted(unknown))}: expected some of {', '.join(every)}")
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    for name in chosen:
        if any(one["operation"] == name for one in found):
            say(f"==> {name}: done before (remove it from {RESULTS} to repeat it)")
            continue
        found.append(trial(name))
        RESULTS.write_text(json.dumps(found, indent=1))
        say(f"    {json.dumps({k: v for k, v in found[-1].items() if k not in ('operation', 'verdict')})}")
    noticed = [
        f"{one['operation']}: {one['by_tries']} tries, {one.get('server_errors', {})}"
        for one in found
        if max(map(int, one["by_tries"]), default=0) > OPERATIONS[one["operation"].removesuffix(POOLED)][1]
        or one.get("server_errors")
    ]
    for line in noticed:
        say(f"NOTICED: {line}")
    if not noticed and CLUSTER is kind.CLUSTERS["test"]:
        kind.down(CLUSTER)
    return 1 if noticed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
