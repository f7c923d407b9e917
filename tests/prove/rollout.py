"""What customers lose while the application is rolled out, scaled, drained, deleted and killed: nothing, is the claim.

For each operation a load at a constant rate goes through the ingress (tests/load): GET and POST, on new and on
kept-alive HTTP/1.1 connections, requests of 5 s among them, pages with their static files, a session; nothing is sent
twice, since a second try hides a loss. Beside it the exchange's own traders place orders. Where everything ends
gracefully not one request may fail, and no trader may need a second try, but when a drain takes an ingress pod: the
connection that a trader had kept open goes with it. Where pods are killed only requests that were under way may lose
their connection, and with one keyed retry no order is lost or doubled. Rollouts go on until REQUESTS (200,000) were
sent in all, those beside kills not counted.

Each operation begins and ends with a quiet stretch, for latencies before, during and after it. Results are kept in
build/prove/rollout.json after each, with the commit; a stopped campaign goes on from those of its commit, and does
again what went wrong. Each load's record lies beside it. CLUSTER names the cluster (test); RATE the requests per second
(120), ORDERS those of the traders (5); OPERATIONS some of the operations; INGRESS_ADDRESS another address of the
ingress; OTHER_TAG a tag of another version of the image that nodes can get, otherwise one is built.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "bench"), str(Path(__file__).parent)]

from cluster import docker, images, kind
from cluster.kind import kubectl
from cluster.paths import tools
from cluster.shell import Failure, fail, run, say, step
from exchange_load import trading
from load import exchange
from load.report import Span, by_stream, doubts, failures, figures, unexplained, within
from load.steady import Result, read
from under_load import CLUSTER, INVENTORY, primary, settled, tally

RESULTS = PROJECT / "build" / "prove" / "rollout.json"
REQUESTS = int(os.environ.get("REQUESTS") or 200_000)
RATE = float(os.environ.get("RATE") or 120)
ORDERS = float(os.environ.get("ORDERS") or 5)
ADDRESS = os.environ.get("INGRESS_ADDRESS") or CLUSTER.address
QUIET_SECONDS = 20
ROLLOUTS, DELETIONS, KILLS = 10, 6, 3
# Six web pods keep up to 48 connections; kind's small database takes 46.
DATABASE = {"postgres_memory_limit": "1Gi"}
APP = ("-n", exchange.NAMESPACE)
WEB = "app.kubernetes.io/name=exchange,app.kubernetes.io/component=web"
INGRESS = "app.kubernetes.io/component=ingress-controller"
# Puts the processes of a container but the first, and this shell, into "$@".
WORKERS = 'for one in /proc/[0-9]*; do one=${one#/proc/}; [ $one = 1 ] || [ $one = $$ ] || set -- "$@" $one; done'
# Kills them at once, and waits until they are gone, and their sockets with them; says the time before and after it. The
# load has the same clock: nodes are containers of this machine.
KILL = 'date +%s.%N; kill -KILL "$@"; for one; do while [ -d /proc/$one ]; do :; done; done; date +%s.%N'
# How long a pod lives at most that is deleted by force: preStop and SIGTERM get a second or two each.
FORCED_SECONDS = 5
# Another style sheet under another name, and not the first version's: as two builds are.
OTHER_VERSION = """FROM {image}
USER root
RUN rm -rf staticfiles && printf '\\n/* another version */\\n' >>static/css/exchange.css && env \\
        SECRET_KEY=only-for-collectstatic-only-for-collectstatic-only-for \\
        ALLOWED_HOSTS=localhost DATABASE_HOST=localhost DATABASE_NAME=none DATABASE_USER=none DATABASE_PASSWORD=none \\
        DATABASE_SSLMODE=disable python manage.py collectstatic --noinput --verbosity 0
USER 10001:10001
"""


@dataclass
class Doing:
    """What an operation notes of itself."""

    tags: tuple[str, str]
    kills: list[Span] = field(default_factory=list)

    def killed(self, begin: float, end: float) -> None:
        """Note between which moments something was killed, in Unix seconds."""
        self.kills.append(Span("kill", begin, end))


def playbook(name: str, variables: dict[str, Any]) -> None:
    """Run a playbook."""
    run(["ansible-playbook", f"{name}.yml", *INVENTORY, "-e", json.dumps(variables)], cwd=PROJECT)


def web_pods() -> list[dict[str, Any]]:
    """Return the web pods that stay."""
    listed = json.loads(kubectl(CLUSTER, *APP, "get", "pods", "-l", WEB, "-o", "json"))["items"]
    return [pod for pod in listed if not pod["metadata"].get("deletionTimestamp")]


def deploy(tag: str) -> float:
    """Deploy a tag as continuous delivery does; return how long it took, in seconds."""
    begun = time.monotonic()
    run(
        [
            tools() / "helm", "upgrade", "exchange", PROJECT / "charts" / "exchange", "--namespace", "exchange",
            "--kubeconfig", CLUSTER.kubeconfig, "--reset-then-reuse-values", "--set-string", f"image.tag={tag}",
            "--wait", "--timeout", "600s",
        ]
    )  # fmt: skip
    settled()
    return round(time.monotonic() - begun, 1)


def rollouts(doing: Doing) -> dict[str, Any]:
    """Roll out one version and the other in turn."""
    return {"seconds": [deploy(doing.tags[(number + 1) % 2]) for number in range(ROLLOUTS)]}


def scale(_doing: Doing) -> dict[str, Any]:
    """From two pods to six and back."""
    for replicas in (6, 2):
        kubectl(CLUSTER, *APP, "scale", "deployment/exchange-web", f"--replicas={replicas}")
        settled()
    return {"replicas": [2, 6, 2]}


def drain(_doing: Doing) -> dict[str, Any]:
    """Drain a node with a web pod, and let it come back. What the primary's node costs is under_load.py's question."""
    where = ("-n", "exchange-database", "get", "pod", primary(), "-o", "jsonpath={.spec.nodeName}")
    nodes = sorted({pod["spec"]["nodeName"] for pod in web_pods()} - {kubectl(CLUSTER, *where)})
    if not nodes:
        raise Failure("every web pod is on the primary's node: delete one of them, and start again")
    there = ("-A", "-l", INGRESS, "--field-selector", f"spec.nodeName={nodes[0]}")
    ingress_pods = kubectl(CLUSTER, "get", "pods", *there, "-o", "jsonpath={.items[*].metadata.name}").split()
    try:
        kubectl(CLUSTER, "drain", nodes[0], "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
    finally:
        kubectl(CLUSTER, "uncordon", nodes[0])
    settled()
    return {"node": nodes[0], "ingress_pods": ingress_pods}


def delete(_doing: Doing) -> dict[str, Any]:
    """Delete web pods one after the other, gracefully."""
    for _ in range(DELETIONS):
        name = random.choice(web_pods())["metadata"]["name"]
        kubectl(CLUSTER, *APP, "delete", "pod", name)
        settled()
    return {"pods": DELETIONS}


def served_certificate() -> str:
    """Return the certificate that the ingress shows."""
    host = exchange.base_url().removeprefix("https://")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only compared
    with socket.create_connection((ADDRESS, 443), 10) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")


def certificate(_doing: Doing) -> dict[str, Any]:
    """Renew the certificate."""
    before = served_certificate()
    playbook("playbooks/app", {**exchange.VARIABLES, "certificate_renew_before_days": 731})
    begun = time.monotonic()
    while served_certificate() == before:
        if time.monotonic() - begun > 60:
            raise Failure("the ingress still shows the old certificate a minute after it was renewed")
        time.sleep(0.2)
    return {"served_after_seconds": round(time.monotonic() - begun, 1)}


def served_addresses() -> list[str]:
    """Return the pods' addresses that the Service knows, ready or not."""
    slices = ("get", "endpointslices", "-l", "kubernetes.io/service-name=exchange-web")
    return kubectl(CLUSTER, *APP, *slices, "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}").split()


def kill_workers(doing: Doing) -> dict[str, Any]:
    """SIGKILL every process of a web pod but the first, which makes new ones."""
    for _ in range(KILLS):
        name = random.choice(web_pods())["metadata"]["name"]
        said = kubectl(CLUSTER, *APP, "exec", name, "--", "sh", "-ec", f"{WORKERS}; {KILL}")
        doing.killed(*map(float, said.split()))
        time.sleep(5)
        settled()
    return {"pods": KILLS}


def kill_pods(doing: Doing) -> dict[str, Any]:
    """Delete web pods by force, which leaves them about 3 s: they are killed at some moment of FORCED_SECONDS."""
    for _ in range(KILLS):
        pod = random.choice(web_pods())
        begin = time.time()
        kubectl(CLUSTER, *APP, "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
        while pod["status"]["podIP"] in served_addresses():
            if time.time() > begin + 60:
                raise Failure(f"{pod['metadata']['name']} is gone, and still in the Service's endpoints a minute later")
            time.sleep(0.1)
        doing.killed(begin, max(time.time(), begin + FORCED_SECONDS))
        time.sleep(5)
        settled()
    return {"pods": KILLS}


def kill_containers(doing: Doing) -> dict[str, Any]:
    """SIGKILL every process of a web pod at once, from its node."""
    for _ in range(KILLS):
        pod = random.choice(web_pods())
        container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        found = f"set -- $(grep -ls {container} /proc/[0-9]*/cgroup | cut -d/ -f3)"
        said = run(["docker", "exec", pod["spec"]["nodeName"], "sh", "-ec", f"{found}; {KILL}"])
        doing.killed(*map(float, said.split()))
        time.sleep(5)
        settled()
    return {"pods": KILLS}


@dataclass(frozen=True)
class Operation:
    """What is done, and how often a trader may have to send a request at most: more than once only where one dies."""

    do: Callable[[Doing], dict[str, Any]]
    tries: int = 1


OPERATIONS = {
    "rollouts": Operation(rollouts),
    "scale": Operation(scale),
    "drain": Operation(drain),
    "delete": Operation(delete),
    "certificate": Operation(certificate),
    "kill_workers": Operation(kill_workers, 2),
    "kill_pods": Operation(kill_pods, 2),
    "kill_containers": Operation(kill_containers, 2),
}


def operation_of(name: str) -> Operation:
    """Return what a trial's name means: rollouts/2 are rollouts again."""
    return OPERATIONS[name.partition("/")[0]]


def other_version() -> tuple[str, str]:
    """Return the tags of two versions that nodes can get; make the second unless OTHER_TAG names it."""
    image = next(one for one in images.platform_images() if one.name == "exchange")
    repository, _, tag = image.reference.rpartition(":")
    if named := os.environ.get("OTHER_TAG"):
        return tag, named
    other = f"{tag}-other"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(OTHER_VERSION.format(image=image.reference))
        identity = run(["docker", "image", "inspect", "--format", "{{.Id}}", image.reference]).strip()
        images.docker_build(
            f"{repository}:{other}",
            Path(folder),
            hashlib.sha256(f"{identity}{OTHER_VERSION}".encode()).hexdigest()[:16],
        )
    workers = [node for node in kind.node_names(CLUSTER) if "worker" in node]
    with step(f"Load {repository}:{other}", 30):
        kind.pour([f"{repository}:{other}"], workers)
    return tag, other


def prepare() -> tuple[str, str]:
    """Install the platform with what the load needs; return the tags of two versions."""
    with step("site.yml, with the pages that the load needs", 120):
        playbook("site", DATABASE)
        tags = other_version()
        exchange.mount(CLUSTER)
        playbook("playbooks/app", {**exchange.VARIABLES, "exchange_app_image_tag": tags[0]})
        settled()
    return tags


def verdict(
    operation: Operation, trial: dict[str, Any], results: list[Result], kills: list[Span], streams: Sequence[str]
) -> list[str]:
    """Return what customers noticed, or why the figures can't be believed; `streams` are what must have been asked."""
    lost = unexplained(results, kills)
    noticed = [f"{one.stream} at {one.due:.2f}, {one.seconds:.2f} s: {one.outcome}" for one in lost]
    # A trader's connection to an ingress pod ends with it.
    tries = 2 if trial["facts"].get("ingress_pods") else operation.tries
    most = max(map(int, trial["orders"]["by_tries"]), default=0)
    if most > tries:
        noticed.append(f"orders: {trial['orders']['by_tries']} tries; expected at most {tries}")
    if trial["orders"]["server_errors"]:
        noticed.append(f"orders: {trial['orders']['server_errors']}")
    return noticed + doubts(trial, streams)


def attempt(name: str, tags: tuple[str, str], commit: str) -> dict[str, Any]:
    """Carry out one operation under load."""
    operation = operation_of(name)
    folder = RESULTS.parent / f"rollout-{name.replace('/', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "record.csv"
    doing = Doing(tags)
    settled()
    with (
        step(f"{name}, {RATE:g} requests and {ORDERS:g} orders a second beside"),
        trading(CLUSTER, folder, ORDERS, ADDRESS),
    ):
        wanted = exchange.streams(RATE, exchange.session(CLUSTER))
        trusted = exchange.authority(CLUSTER, folder)
        with exchange.steady(record, wanted, exchange.base_url(), address=ADDRESS, ca_file=trusted):
            time.sleep(QUIET_SECONDS)
            begin = time.time()
            facts = operation.do(doing)
            settled()
            end = time.time()
            time.sleep(QUIET_SECONDS)
    results = read(record)
    traders = [json.loads(line) for line in (folder / "load-record.jsonl").read_text().splitlines()]
    spans = [Span("before", 0, begin), Span("during", begin, end), Span("after", end, float("inf"))]
    trial: dict[str, Any] = {
        "operation": name,
        "commit": commit,
        "at": datetime.fromtimestamp(begin, UTC).isoformat(timespec="seconds"),
        "seconds": round(end - begin, 1),
        "facts": facts,
        **figures(results),
        "spans": {span.name: figures(within(results, span)) for span in spans},
        "streams": by_stream(results),
        "failures": [one.__dict__ for one in failures(results)],
        "kills": [[kill.begin, kill.end] for kill in doing.kills],
        "orders": tally(traders),
        "acknowledged_and_stored": json.loads((folder / "load-verdict.json").read_text()),
    }
    return trial | {"noticed": verdict(operation, trial, results, doing.kills, exchange.stream_names(wanted))}


def table(trials: list[dict[str, Any]]) -> list[str]:
    """Return what was found, as lines."""
    latency = "".join(f"{f'{which} before, during, after (ms)':>34}" for which in ("p50", "p99"))
    lines = [f"{'operation':18}{'requests':>9}{'failed':>8}{'orders':>8}{'most tries':>11}{latency}"]
    for one in trials:
        latencies = [
            ", ".join(str(one["spans"][span][key]) for span in ("before", "during", "after"))
            for key in ("p50_ms", "p99_ms")
        ]
        most = max(map(int, one["orders"]["by_tries"]), default=0)
        lines.append(
            f"{one['operation']:18}{one['requests']:9}{sum(one['failed'].values()):8}{one['orders']['requests']:8}"
            f"{most:11}{latencies[0]:>34}{latencies[1]:>34}"
        )
    return lines


def counted(found: list[dict[str, Any]]) -> int:
    """Return how many requests were sent of which none may fail, and none has."""
    return sum(one["requests"] for one in found if operation_of(one["operation"]).tries == 1 and not one["noticed"])


def names(found: list[dict[str, Any]], chosen: list[str]) -> Iterator[str]:
    """Yield what is missing or went wrong: each operation once, then rollouts until there were requests enough.

    `found` is what has been done so far, and gets what is done meanwhile. A further rollout that goes wrong is the
    last one.
    """

    def well(name: str) -> bool:
        return any(one["operation"] == name and not one["noticed"] for one in found)

    yield from (name for name in chosen if not well(name))
    number = 2
    while "rollouts" in chosen and counted(found) < REQUESTS:
        if not well(name := f"rollouts/{number}"):
            yield name
            if not well(name):
                return
        number += 1


def main() -> int:
    """Run what is missing; return 1 if customers noticed anything."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    commit = run(["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], cwd=PROJECT).strip()
    kept: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    found = [one for one in kept if one.get("commit") == commit]
    others = [one for one in kept if one.get("commit") != commit]
    chosen = os.environ["OPERATIONS"].split(",") if os.environ.get("OPERATIONS") else list(OPERATIONS)
    if unknown := set(chosen) - set(OPERATIONS):
        raise Failure(f"OPERATIONS: {', '.join(sorted(unknown))}: expected some of {', '.join(OPERATIONS)}")
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    tags = prepare()
    for name in names(found, chosen):
        trial = attempt(name, tags, commit)
        found[:] = [*(one for one in found if one["operation"] != name), trial]
        RESULTS.write_text(json.dumps([*others, *found], indent=1))
        for line in trial["noticed"][:20]:
            say(f"    NOTICED: {line}")
    with step("The application as the inventory has it", 60):
        playbook("site", {"exchange_app_image_tag": tags[0]})
        exchange.unmount(CLUSTER)
    noticed = sum(len(one["noticed"]) for one in found)
    total = (
        f"{counted(found)} requests at {RATE:g} a second of which none may fail; {noticed} things noticed: {RESULTS}"
    )
    say("\n".join(["", *table(found), "", total]))
    return 1 if noticed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
