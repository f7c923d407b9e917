"""One trial of a drill: everything is well, something happens, and it is seen what became of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import drill_faults
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_cluster import (
    UNREACHABLE,
    DrillCluster,
    DrillError,
    Watch,
)
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_faults import Fault, Nodes, Scene
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_judge import judge
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_writer import Writer

Say = Callable[[str], None]

BEFORE_SECONDS = 3
# How long writes must go on before a trial ends, and how long they may take to resume.
AFTER_SECONDS = 6
RESUME_SECONDS = 100
STOP_SECONDS = 180


def run_trial(cluster: DrillCluster, nodes: Nodes, fault: Fault, program: str, say: Say) -> dict[str, Any]:
    """Carry out one trial and return its record.

    Args:
        cluster: the installation; there must be a standby.
        nodes: commands that stop nodes, for the faults that need them.
        fault: what shall happen.
        program: text of the writer.
        say: takes lines about the progress.

    Returns:
        What drill_judge.judge returns, and ``fault``, ``started``, ``primary``, ``new_primary``,
        ``mode`` and ``members`` (what a commit waits for, and how many there are),
        ``old_primary_back_seconds`` (until it serves as a standby, since the fault or, if it was held, since its end),
        ``two_labels_seconds`` (how long two pods were labelled primary), ``released_after_seconds``, and for a plot,
        in seconds since the fault, ``writes`` (begin, duration, error) and ``roles`` (from, until, label by pod).

    Raises:
        DrillError: the trial could not be carried out. Nothing is left behind.
    """
    before = drill_faults.look(cluster, nodes)
    if len(before.standbys) < fault.standbys_needed:
        raise DrillError(f"{fault.title}: needs {fault.standbys_needed} standby; there is none to take over")
    before = fault.prepare(before)
    writers = writers_for(cluster, fault, before)
    try:
        cluster.start_writers(writers, program, before.pods[before.primary]["spec"])
        for writer in writers:
            until_writing(cluster, writer.name)
        ahead = {writer.name: cluster.clock_ahead(writer.name) for writer in writers}
        with Watch(cluster) as watch:
            time.sleep(BEFORE_SECONDS)
            say(f"{fault.title}: {before.primary} on {before.node_of(before.primary)}")
            fault_at = time.time()
            try:
                fault.begin(before)
                if fault.seen:
                    until_resumed(cluster, fault, fault_at + ahead["main"])
                time.sleep(AFTER_SECONDS)
                time.sleep(max(0.0, fault_at + fault.hold_seconds - time.time()))
            finally:
                released_at = time.time()
                fault.end(before)
            after = cluster.whole(drill_faults.WHOLE_SECONDS)
            # Until the watch has seen it too, and the writers what comes of an end such as an old primary that woke up.
            time.sleep(fault.after_seconds)
            after = cluster.whole(drill_faults.WHOLE_SECONDS)
            watched_until = time.time()
        printed = [
            line | {key: line[key] - ahead[writer.name] for key in ("began", "ended") if key in line}
            # In this order: the first writer says in the end what the database holds.
            for writer in reversed(writers)
            for line in cluster.stop_writer(writer.name, STOP_SECONDS)
        ]
    except DrillError:
        # It still removes its schema, if it can.
        with contextlib.suppress(DrillError):
            cluster.stop_writer("main", STOP_SECONDS)
        raise
    finally:
        cluster.remove_writers()
    attempts = [line for line in printed if line.get("id", "").startswith("main-")]
    beside = [line for line in printed if line.get("id", "").startswith("beside-")]
    found = next(line["found"] for line in printed if "found" in line)
    labels = list(watch.labels(watched_until))
    since = released_at if fault.held else fault_at
    back = watch.back(before.primary, since) if fault.moves_primary else None
    return {
        "fault": fault.name,
        "started": datetime.fromtimestamp(fault_at, UTC).isoformat(timespec="seconds"),
        "primary": before.primary,
        "new_primary": after["primary"],
        "mode": cluster.mode(),
        "members": after["replicas"],
        **judge(attempts, beside, found, fault_at),
        "old_primary_back_seconds": round(back - since, 1) if back else None,
        "two_labels_seconds": round(
            sum(end - start for start, end, roles in labels if list(roles.values()).count("primary") > 1), 1
        ),
        "released_after_seconds": round(released_at - fault_at, 1) if fault.held else None,
        "writes": [
            [round(one["began"] - fault_at, 3), round(one["ended"] - one["began"], 3), one.get("error", "")]
            for one in attempts
        ],
        "roles": [[round(start - fault_at, 1), round(end - fault_at, 1), roles] for start, end, roles in labels],
    }


def writers_for(cluster: DrillCluster, fault: Fault, scene: Scene) -> list[Writer]:
    """Return the writer by the Service, away from the primary's node, and the one beside it if the fault wants it."""
    node = scene.node_of(scene.primary)
    main = Writer("main", cluster.service_address("postgres-rw"), not_node=node, checks=True)
    if not fault.writes_beside:
        return [main]
    address = scene.pods[scene.primary]["status"]["podIP"]
    return [main, Writer("beside", address, node=node)]


def until_writing(cluster: DrillCluster, writer: str) -> None:
    """Wait until a writer has written."""
    deadline = time.monotonic() + 90
    last = "it has no pod"
    while time.monotonic() < deadline:
        with contextlib.suppress(*UNREACHABLE):
            lines = cluster.records(writer, last=20)
            if sum("server" in line for line in lines) >= 10:  # noqa: PLR2004
                return
            last = str(lines[-1:] or "it has said nothing")
        time.sleep(0.5)
    raise DrillError(f"the writer {writer} did not begin to write within 90 s: {last}")


def until_resumed(cluster: DrillCluster, fault: Fault, fault_at: float) -> None:
    """Wait until a write begun after the fault is acknowledged, by another server if the fault asks for one."""
    deadline = time.monotonic() + RESUME_SECONDS + fault.hold_seconds
    first: str = ""
    while time.monotonic() < deadline:
        with contextlib.suppress(*UNREACHABLE):
            for line in cluster.records("main"):
                if "server" not in line:
                    continue
                if line["ended"] < fault_at:
                    first = line["server"]
                elif line["began"] > fault_at and not (fault.moves_primary and line["server"] == first):
                    return
        time.sleep(0.5)
    raise DrillError(f"{fault.title}: writes did not resume within {RESUME_SECONDS} s")
