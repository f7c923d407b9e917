"""What customers lose while the application is rolled out, scaled, drained, deleted and killed: nothing, is the claim.

For each operation a load at a constant rate goes through the ingress (tests/load): GET and POST, on new and on
kept-alive HTTP/1.1 connections, requests of 5 s among them, pages with their static files, a session; nothing is sent
twice, since a second try hides a loss. Beside it the exchange's own traders place orders. Where everything ends
gracefully not one request may fail, and no trader may need a second try. Where pods are killed only requests that were
under way may fail, and with one keyed retry no order is lost or doubled. Rollouts go on until REQUESTS were sent in all
(200,000).

Each operation begins and ends with a quiet stretch, for latencies before, during and after it. Results are kept in
build/prove/rollout.json after each; a stopped campaign goes on from there. Each load's record lies beside it. CLUSTER
names the cluster (test); RATE the requests per second (120), ORDERS those of the traders (5); OPERATIONS some of the
operations; INGRESS_ADDRESS another address of the ingress; OTHER_TAG a tag of another version of the image that nodes
can get, otherwise one is built.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from load.report import Span, by_stream, failures, figures, not_in_flight, within
from load.steady import Result, read
from under_load import CLUSTER, INVENTORY, primary, settled, tally

RESULTS = PROJECT / "build" / "prove" / "rollout.json"
REQUESTS = int(os.environ.get("REQUESTS") or 200_000)
RATE = float(os.environ.get("RATE") or 120)
ORDERS = float(os.environ.get("ORDERS") or 5)
ADDRESS = os.environ.get("INGRESS_ADDRESS") or CLUSTER.address
QUIET_SECONDS = 20
ROLLOUTS, DELETIONS, KILLS = 10, 6, 3
APP = ("-n", exchange.NAMESPACE)
WEB = "app.kubernetes.io/name=exchange,app.kubernetes.io/component=web"
# A load that begins its requests later than this kept no rate.
LATEST_MS = 1000
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

    @contextmanager
    def killing(self) -> Iterator[None]:
        """Note when something is killed."""
        begin = time.time()
        yield
        self.kills.append(Span("kill", begin, time.time()))


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
    try:
        kubectl(CLUSTER, "drain", nodes[0], "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
    finally:
        kubectl(CLUSTER, "uncordon", nodes[0])
    settled()
    return {"node": nodes[0]}


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


def kill_workers(doing: Doing) -> dict[str, Any]:
    """SIGKILL every process of a web pod but the first, which makes new ones."""
    for _ in range(KILLS):
        name = random.choice(web_pods())["metadata"]["name"]
        with doing.killing():
            # The kill doesn't hit who sends it.
            kubectl(CLUSTER, *APP, "exec", name, "--", "sh", "-c", "kill -KILL -1")
        time.sleep(5)
        settled()
    return {"pods": KILLS}


def kill_pods(doing: Doing) -> dict[str, Any]:
    """Delete web pods without any grace."""
    for _ in range(KILLS):
        name = random.choice(web_pods())["metadata"]["name"]
        with doing.killing():
            kubectl(CLUSTER, *APP, "delete", "pod", name, "--grace-period=0", "--force")
        time.sleep(5)
        settled()
    return {"pods": KILLS}


def kill_containers(doing: Doing) -> dict[str, Any]:
    """SIGKILL every process of a web pod at once, from its node."""
    for _ in range(KILLS):
        pod = random.choice(web_pods())
        container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        script = f"grep -ls {container} /proc/[0-9]*/cgroup | cut -d/ -f3 | xargs kill -KILL"
        with doing.killing():
            run(["docker", "exec", pod["spec"]["nodeName"], "sh", "-c", script])
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
        playbook("site", {})
        tags = other_version()
        exchange.mount(CLUSTER)
        playbook("playbooks/app", {**exchange.VARIABLES, "exchange_app_image_tag": tags[0]})
        settled()
    return tags


def verdict(operation: Operation, trial: dict[str, Any], results: list[Result], kills: list[Span]) -> list[str]:
    """Return what customers noticed, or why the figures can't be believed."""
    unexplained = not_in_flight(failures(results), kills)
    noticed = [f"{one.stream} at {one.due:.2f}, {one.seconds:.2f} s: {one.outcome}" for one in unexplained]
    most = max(map(int, trial["orders"]["by_tries"]), default=0)
    if most > operation.tries:
        noticed.append(f"orders: {trial['orders']['by_tries']} tries; expected at most {operation.tries}")
    if trial["orders"]["server_errors"]:
        noticed.append(f"orders: {trial['orders']['server_errors']}")
    if trial["late_p99_ms"] > LATEST_MS:
        noticed.append(f"the load began its requests up to {trial['late_p99_ms']} ms late: this machine is too busy")
    return noticed


def attempt(name: str, tags: tuple[str, str]) -> dict[str, Any]:
    """Carry out one operation under load."""
    operation = OPERATIONS[name.partition("/")[0]]
    folder = RESULTS.parent / f"rollout-{name.replace('/', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "record.csv"
    doing = Doing(tags)
    settled()
    with step(f"{name}, {RATE:g} requests and {ORDERS:g} orders a second beside"), trading(CLUSTER, folder, ORDERS):
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
    return trial | {"noticed": verdict(operation, trial, results, doing.kills)}


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


def names(found: list[dict[str, Any]], chosen: list[str]) -> Iterator[str]:
    """Yield what is missing: each operation once, then rollouts until there were requests enough."""
    done = {one["operation"] for one in found}
    yield from (name for name in chosen if name not in done)
    number = 2
    while "rollouts" in chosen and sum(one["requests"] for one in found) < REQUESTS:
        if f"rollouts/{number}" not in done:
            yield f"rollouts/{number}"
        number += 1


def main() -> int:
    """Run what is missing; return 1 if customers noticed anything."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    chosen = os.environ["OPERATIONS"].split(",") if os.environ.get("OPERATIONS") else list(OPERATIONS)
    if unknown := set(chosen) - set(OPERATIONS):
        raise Failure(f"OPERATIONS: {', '.join(sorted(unknown))}: expected some of {', '.join(OPERATIONS)}")
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    docker.ensure()
    kind.up(CLUSTER)
    tags = prepare()
    for name in names(found, chosen):
        trial = attempt(name, tags)
        found.append(trial)
        RESULTS.write_text(json.dumps(found, indent=1))
        for line in trial["noticed"][:20]:
            say(f"    NOTICED: {line}")
    with step("The application as the inventory has it", 60):
        playbook("site", {"exchange_app_image_tag": tags[0]})
        exchange.unmount(CLUSTER)
    total = sum(one["requests"] for one in found)
    noticed = sum(len(one["noticed"]) for one in found)
    say(
        "\n".join(
            ["", *table(found), "", f"{total} requests at {RATE:g} a second; {noticed} things noticed: {RESULTS}"]
        )
    )
    return 1 if noticed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
