"""make bench-failover: how long writes pause when something happens to the database, over many trials.

Runs the drills of playbooks/verify.yml, and some that need the nodes of a kind cluster, in rounds: one trial of each
fault, again and again. A trial is kept in build/bench/failover.json as soon as it has ended; a stopped bench goes on
from there. FAULTS names some of the faults; TRIALS how many of each there shall be in the end; MINUTES after how long
to stop between two trials; LOAD how many orders a second the exchange's traders shall send beside. Another
postgres_synchronous_mode or number of members on the cluster counts apart. Prints a table in any case, and fails only
if it couldn't measure or a write was lost.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from ansible.plugins.loader import init_plugin_loader

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests"))
init_plugin_loader([str(PROJECT / "collections")])

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_cluster import DrillCluster, DrillError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_faults import FAULTS, Nodes
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_judge import percentile
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_trial import run_trial
from cluster import docker
from cluster.kind import CLUSTERS
from cluster.shell import Failure, fail, say
from exchange_load import trading
from kubernetes import config

RESULTS = PROJECT / "build" / "bench" / "failover.json"
# How many trials, and what the median and the worst of their pauses should not exceed, in seconds.
WANTED: dict[str, tuple[int, float | None, float | None]] = {
    "switchover": (20, 3, 5),
    "delete_primary": (20, 3, 5),
    "kill_postmaster": (20, 4, 8),
    "kill_container": (20, 4, 8),
    "node_loss": (20, 22, 28),
    "kill_container_again": (5, None, 25),
    "thaw": (3, 22, 28),
    "partition": (5, None, None),
    "stop_patroni": (3, None, None),
    "full_disk": (2, None, None),
    "kill_standby": (5, None, None),
    "api_unreachable": (3, None, None),
}
# All traffic of a node but its own pods' among themselves, and no more than that.
_RULES = ["INPUT -i eth0", "OUTPUT -o eth0", "FORWARD -i eth0", "FORWARD -o eth0"]
CUT = "; ".join(f"iptables -w -I {rule} -m comment --comment platform-drill -j DROP" for rule in _RULES)
MEND = "; ".join(f"iptables -w -D {rule} -m comment --comment platform-drill -j DROP" for rule in _RULES)
MOST_ERRORS = 3
# What the bars are for: the default mode, and members enough to lose one.
USUAL = ("quorum", 3)


def nodes() -> Nodes:
    """Return how a kind node is stopped and cut off."""
    inside = ["docker", "exec", "{node}", "sh", "-c"]
    return Nodes(
        freeze=["docker", "pause", "{node}"],
        thaw=["docker", "unpause", "{node}"],
        isolate=[*inside, f"set -e; {CUT}"],
        join=[*inside, MEND],
    )


def measure(chosen: list[str], trials: list[dict[str, Any]]) -> int:
    """Run the trials that are missing, in rounds; return how many could not be carried out."""
    kind = CLUSTERS[os.environ.get("CLUSTER", "demo")]
    docker.ensure()
    client = config.new_client_from_config(str(kind.kubeconfig), kind.context)
    cluster = DrillCluster(client, "exchange-database", "exchange", "app.kubernetes.io/component=database")
    program = (PROJECT / "roles" / "verify" / "files" / "writer.py").read_text()
    enough = {name: int(os.environ.get("TRIALS") or WANTED[name][0]) for name in chosen}
    deadline = time.monotonic() + 60 * float(os.environ.get("MINUTES") or "inf")
    here = (cluster.mode(), int(cluster.state()["replicas"]))
    errors, in_a_row = 0, 0
    while in_a_row < MOST_ERRORS:
        done = {name: sum(trial["fault"] == name and setting(trial) == here for trial in trials) for name in chosen}
        missing = [name for name in chosen if done[name] < enough[name]]
        if not missing or time.monotonic() > deadline:
            break
        # The one that is furthest behind, so that an early end leaves a bit of everything.
        name = min(missing, key=lambda name: done[name] / enough[name])
        try:
            trial = run_trial(cluster, nodes(), FAULTS[name](), program, lambda _: None)
        except DrillError as error:
            errors, in_a_row = errors + 1, in_a_row + 1
            say(f"    {name} could not be measured: {error}")
            continue
        in_a_row = 0
        trial["writes"] = [write for write in trial["writes"] if write[2]]
        trial["load_orders_per_second"] = float(os.environ.get("LOAD") or 0)
        trials.append(trial)
        save(trials)
        say(
            f"    {name} {done[name] + 1}/{enough[name]}: pause {trial['gap_seconds']:.1f} s, failed {trial['failed']}"
            f" (after that {trial['failed_after_resume']}, on a used port {trial['failed_on_used_port']}),"
            f" lost {len(trial['lost'])}, {trial['primary']} -> {trial['new_primary']}, back after"
            f" {trial['old_primary_back_seconds']} s"
        )
    return errors


def setting(trial: dict[str, Any]) -> tuple[str, int]:
    """Return what a commit waited for in a trial, and how many members there were."""
    return trial.get("mode", "quorum"), trial.get("members", 3)


def save(trials: list[dict[str, Any]]) -> None:
    """Keep the trials, one a line."""
    RESULTS.write_text(json.dumps({"trials": trials}, separators=(",", ":")).replace('{"fault"', '\n{"fault"'))


def table(chosen: list[str], trials: list[dict[str, Any]]) -> list[str]:
    """Return the figures as lines."""
    head = f"{'pause of writes, in s':34}{'trials':>7}{'min':>7}{'median':>8}{'p95':>7}{'max':>7}"
    lines = [
        f"{head}{'bar: median, max':>18}{'failed later, on used port':>28}{'lost':>6}{'old one back: median, max':>27}"
    ]
    settings = sorted({setting(trial) for trial in trials}, key=lambda one: (one != USUAL, one))
    for where, name in itertools.product(settings, chosen):
        found = [trial for trial in trials if trial["fault"] == name and setting(trial) == where]
        if not found:
            continue
        title = name if where == USUAL else f"{name}, {where[0]}, {where[1]}"
        gaps = [trial["gap_seconds"] for trial in found]
        back = [trial["old_primary_back_seconds"] for trial in found if trial["old_primary_back_seconds"] is not None]
        _, median, most = WANTED[name]
        bar = f"{'-' if median is None else f'{median:g}'}, {'-' if most is None else f'{most:g}'}"
        late = ", ".join(str(sum(t[key] for t in found)) for key in ("failed_after_resume", "failed_on_used_port"))
        lost = sum(len(trial["lost"]) for trial in found)
        returned = f"{statistics.median(back):.1f}, {max(back):.1f}" if back else "-"
        lines.append(
            f"{title:34}{len(found):7}{min(gaps):7.1f}{statistics.median(gaps):8.1f}{percentile(gaps, 95):7.1f}"
            f"{max(gaps):7.1f}{bar:>18}{late:>28}{lost:6}{returned:>27}"
        )
    return lines


def main() -> int:
    """Measure what is missing, and print what there is."""
    chosen = (os.environ.get("FAULTS") or ",".join(WANTED)).split(",")
    if unknown := sorted(set(chosen) - set(WANTED)):
        return fail(f"FAULTS names {', '.join(unknown)}; there are {', '.join(WANTED)}")
    trials: list[dict[str, Any]] = json.loads(RESULTS.read_text())["trials"] if RESULTS.exists() else []
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if rate := float(os.environ.get("LOAD") or 0):
            stack.enter_context(trading(CLUSTERS[os.environ.get("CLUSTER", "demo")], RESULTS.parent, rate))
        errors = measure(chosen, trials)
    shown = [trial for trial in trials if trial["fault"] in chosen]
    say("\n" + "\n".join(table(chosen, trials)))
    lost = sum(len(trial["lost"]) for trial in shown)
    twice = sum(len(trial["overlaps"]) for trial in shown)
    acknowledged = sum(trial["acknowledged"] for trial in shown)
    say(
        f"\n{len(shown)} trials: of {acknowledged} acknowledged writes {lost} were lost; {twice} were acknowledged by a"
        " primary after its successor"
    )
    if lost or twice:
        return fail("acknowledged writes were lost or two primaries acknowledged; see build/bench/failover.json")
    return fail(f"{errors} trials could not be measured") if errors or not shown else 0


if __name__ == "__main__":
    # Whoever ends this ends the trial first, so that no node stays frozen.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(130))
    try:
        sys.exit(main())
    except Failure as error:
        sys.exit(fail(str(error)))
