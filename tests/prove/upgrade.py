"""The previous release is installed and upgraded to this one under load: data kept, and what customers noticed of it.

PREVIOUS is a tag or commit; without it the newest tag before this commit. It is checked out beside, installed by its
own site.yml with images built from its own Dockerfiles, under tags of their own, so that every pod of ours is replaced
afterwards. Then this version's site.yml runs while a load at a constant rate goes through the ingress and traders place
orders; a second run must change nothing. Every acknowledged order must be there once and the books must balance. Where
the database's members are replaced the primary hands over: around the moment at which another one leads, and for no
longer than that takes, answers 503 are allowed, and a second try of an order. Nothing else may fail. It is done on the
cluster of the tests, which is emptied before; RATE and ORDERS are the loads'. Results: build/prove/upgrade.json.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "bench"), str(Path(__file__).parent)]

import yaml
from cluster import docker, images, kind
from cluster.kind import kubectl
from cluster.shell import Failure, fail, repeated, run, say, step
from exchange_load import trading
from load import exchange
from load.report import Span, by_stream, doubts, failures, figures, within
from load.steady import Result, read
from under_load import CLUSTER, settled, tally

RESULTS = PROJECT / "build" / "prove" / "upgrade.json"
CHECKOUT = PROJECT / "build" / "prove" / "previous"
RATE = float(os.environ.get("RATE") or 40)
ORDERS = float(os.environ.get("ORDERS") or 5)
QUIET_SECONDS = 20
# Before another primary is seen, which is when it can be written to, and after that: until every client has found it.
HANDING_OVER_SECONDS = (10, 5)
DATABASE = ("-n", "exchange-database")
PLACE = Path("roles/platform/defaults/main.yml")


def inventory(project: Path) -> list[str]:
    """Return the inventories of a checkout, with the cluster's own from here."""
    return ["-i", str(project / "inventories" / "kind"), "-i", str(CLUSTER.folder / "inventory")]


def site(project: Path, variables: Mapping[str, Any]) -> int:
    """Run a checkout's site.yml; return how many tasks changed something."""
    command = ["ansible-playbook", "site.yml", *inventory(project), "-e", json.dumps(variables)]
    changed = re.search(r"changed=(\d+)", run(command, cwd=project))
    return int(changed[1]) if changed else -1


def previous() -> str:
    """Return the commit to upgrade from.

    Raises:
        Failure: no release is tagged, and PREVIOUS names none.
    """
    named = os.environ.get("PREVIOUS") or run(
        ["git", "describe", "--tags", "--abbrev=0", "HEAD^"], cwd=PROJECT, check=False
    )
    found = run(["git", "rev-parse", "--verify", "--quiet", f"{named.strip()}^{{commit}}"], cwd=PROJECT, check=False)
    if not named.strip() or not found.strip():
        raise Failure(f"PREVIOUS is {named.strip()!r}: expected a tag or commit; no release before this one is tagged")
    return found.strip()


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check a commit out beside this one while the block runs."""
    drop()
    run(["git", "worktree", "add", "--detach", str(CHECKOUT), commit], cwd=PROJECT)
    try:
        yield CHECKOUT
    finally:
        drop()


def drop() -> None:
    """Remove the checkout, also what a stopped run has left."""
    shutil.rmtree(CHECKOUT, ignore_errors=True)
    run(["git", "worktree", "prune"], cwd=PROJECT)


def retagged(wanted: Mapping[str, Mapping[str, str]], owned: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the images of a release, those that it builds itself under tags of their own."""
    return {
        name: {**one, "tag": f"{one['tag']}-previous"} if name in owned else dict(one) for name, one in wanted.items()
    }


def build(project: Path) -> dict[str, dict[str, str]]:
    """Build the previous release's own images and put them on the workers; return its platform_images."""
    owned = {name: project / folder.relative_to(PROJECT) for name, folder in images.OWNED.items()}
    owned = {name: folder for name, folder in owned.items() if (folder / "Dockerfile").exists()}
    wanted = retagged(yaml.safe_load((project / PLACE).read_text())["platform_images"], list(owned))
    base = images.ensure_base()
    references = []
    for name, folder in owned.items():
        reference = f"{wanted[name]['repository']}:{wanted[name]['tag']}"
        paths = [folder / part for part in ("Dockerfile", "app", ".dockerignore", "requirements/app.lock")]
        inputs = images.folder_digest(*(paths if name == "exchange" else [folder]), extra=base)
        images.docker_build(reference, folder, inputs)
        references.append(reference)
    with step(f"Load {len(references)} images of the previous release", 60):
        kind.pour(references, [node for node in kind.node_names(CLUSTER) if "worker" in node])
    return wanted


def members() -> set[str]:
    """Return the UIDs of the database's pods."""
    label = "app.kubernetes.io/component=database"
    return set(
        kubectl(CLUSTER, *DATABASE, "get", "pods", "-l", label, "-o", "jsonpath={.items[*].metadata.uid}").split()
    )


def leader() -> str:
    """Return the UID of the pod that leads, or several, or none."""
    label = "cluster-name=postgres,role=primary"
    return kubectl(CLUSTER, *DATABASE, "get", "pods", "-l", label, "-o", "jsonpath={.items[*].metadata.uid}")


@contextmanager
def handovers(look: Callable[[], str] = leader, every_seconds: float = 0.5) -> Iterator[list[float]]:
    """Note when (Unix time) another primary is first seen, while the block runs; nobody, or two of them, is none."""
    seen: list[float] = []
    leads = look()

    def watch() -> None:
        nonlocal leads
        with suppress(Failure):  # the API may be away for a moment
            now = look()
            if len(now.split()) == 1 and now != leads:
                leads = now
                seen.append(time.time())

    with repeated(watch, every_seconds):
        yield seen


def verdict(
    results: Sequence[Result], orders: Mapping[str, Any], *, handed_over: Sequence[float], changed: int
) -> list[str]:
    """Return what customers noticed beyond what the primary's handing over explains, and what isn't as it should be."""
    before, after = HANDING_OVER_SECONDS
    spans = [Span("handing over", moment - before, moment + after) for moment in handed_over]
    explained = {one for span in spans for one in within(results, span) if one.outcome == "status 503"}
    found = [
        f"{one.stream} at {one.due:.2f}, {one.seconds:.2f} s: {one.outcome}"
        for one in failures(results)
        if one not in explained
    ]
    most, tries = max(map(int, orders["by_tries"]), default=0), 2 if handed_over else 1
    if most > tries:
        found.append(f"orders: {orders['by_tries']} tries; expected at most {tries}")
    if orders["server_errors"]:
        found.append(f"orders: {orders['server_errors']}")
    if changed != 0:
        found.append(f"a second run of site.yml says changed={changed}")
    return found


def not_tried(report: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Return what of a campaign didn't take place: an upgrade that changed nothing, a load that wasn't there.

    Args:
        report: figures of the load, by `streams` too, `changed` by each run of site.yml, and `members_replaced`.
        wanted: names of all streams.
    """
    found = doubts(report, wanted)
    if report["changed"][0] <= 0:
        found.append(f"site.yml says changed={report['changed'][0]}")
    if report["members_replaced"] == 0:
        found.append("no member of the database was replaced")
    return found


def upgrade(folder: Path, commit: str) -> dict[str, Any]:
    """Install the previous release, upgrade it under load, and compare."""
    with checked_out(commit) as old:
        with step(f"The images of {commit[:12]}", 300):
            wanted = build(old)
        with step(f"site.yml of {commit[:12]}", 300):
            site(old, {"platform_images": wanted})
            exchange.mount(CLUSTER)
            site(old, {"platform_images": wanted, **exchange.VARIABLES})
            settled()
    tag = yaml.safe_load((PROJECT / PLACE).read_text())["platform_images"]["exchange"]["tag"]
    # Without a tag the role would keep the one that runs.
    variables = {**exchange.VARIABLES, "exchange_app_image_tag": tag}
    before, record = members(), folder / "record.csv"
    with step("site.yml of this version, under load", 300), trading(CLUSTER, folder, ORDERS):
        wanted_streams = exchange.streams(RATE, exchange.session(CLUSTER))
        trusted = exchange.authority(CLUSTER, folder)
        steady = exchange.steady(record, wanted_streams, exchange.base_url(), address=CLUSTER.address, ca_file=trusted)
        with handovers() as handed_over, steady:
            time.sleep(QUIET_SECONDS)
            begun = time.monotonic()
            first = site(PROJECT, variables)
            settled()
            took = time.monotonic() - begun
            time.sleep(QUIET_SECONDS)
    again = site(PROJECT, variables)
    results = read(record)
    orders = tally(json.loads(line) for line in (folder / "load-record.jsonl").read_text().splitlines())
    report = {
        "from": commit,
        "to": run(["git", "rev-parse", "HEAD"], cwd=PROJECT).strip(),
        "seconds": round(took, 1),
        "changed": [first, again],
        "members_replaced": len(before - members()),
        "handed_over_at": [round(moment, 2) for moment in handed_over],
        **figures(results),
        "streams": by_stream(results),
        "failures": [one.__dict__ for one in failures(results)],
        "orders": orders,
        "acknowledged_and_stored": json.loads((folder / "load-verdict.json").read_text()),
    }
    noticed = verdict(results, orders, handed_over=handed_over, changed=again)
    return report | {"noticed": noticed + not_tried(report, exchange.stream_names(wanted_streams))}


def main() -> int:
    """Do it."""
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    if CLUSTER is not kind.CLUSTERS["test"]:
        raise Failure(f"CLUSTER is {os.environ['CLUSTER']}: expected test, since the cluster is emptied")
    commit = previous()
    folder = RESULTS.parent / "upgrade"
    folder.mkdir(parents=True, exist_ok=True)
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    with step("An empty cluster", 60):
        gone = ["exchange", "exchange-database", "exchange-platform", "exchange-backup"]
        kubectl(CLUSTER, "delete", "namespace", *gone, "--ignore-not-found", "--timeout=300s")
        kind.recycle_volumes(CLUSTER)
    report = upgrade(folder, commit)
    RESULTS.write_text(json.dumps(report, indent=1))
    with step("The application as the inventory has it", 60):
        site(PROJECT, {})
        exchange.unmount(CLUSTER)
    for line in report["noticed"][:20]:
        say(f"    NOTICED: {line}")
    say(
        f"{commit[:12]} to this version in {report['seconds']} s: {report['requests']} requests, failed"
        f" {report['failed']}; {report['members_replaced']} members replaced, orders by tries"
        f" {report['orders']['by_tries']}"
    )
    return 1 if report["noticed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
