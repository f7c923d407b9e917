"""What can happen to a database, and how it is made to happen: one class for each fault.

A fault is prepared while everything is well, begins at a known moment, and is ended if it doesn't end by itself.
Everything but the faults of whole nodes goes through the API server, so it works on any cluster.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_cluster import DrillCluster, DrillError

WHOLE_SECONDS = 240
# Held back for so long, a container is held back for up to twice as long, if it ends once more within that time.
BACK_OFF_SECONDS, MOST_RESTARTS = 30, 10
# What tells it from a container that is started again at once.
HELD_BACK_SECONDS = 5
KILL_POSTMASTER = "kill -9 $(head -n 1 /var/lib/postgresql/data/pgdata/postmaster.pid)"
# Every process but the first, which then ends the container; no process is asked, so nothing is handed over.
KILL_EVERYTHING = "kill -9 -1"
# Patroni proper, which is the child of the first process.
SIGNAL_PATRONI = """
import psutil, signal, sys
found = [p for p in psutil.process_iter() if p.ppid() == 1 and "patroni" in " ".join(p.cmdline())]
[p.send_signal(getattr(signal, sys.argv[1])) for p in found]
sys.exit(len(found) != 1)
"""

# Take all that is left of the volume, and let the server ask for more; no more than a test's volume has.
FILL_DISK = """
left=$(df --output=avail -k /var/lib/postgresql/data | tail -n 1)
[ "$left" -lt 4000000 ] || { echo "$left KiB are left: too much to fill"; exit 1; }
dd if=/dev/zero of=/var/lib/postgresql/data/drill-filler bs=1M 2>/dev/null
for _ in 1 2 3 4 5 6 7 8; do
  psql -XAtq -U postgres -c "SELECT pg_switch_wal()" >/dev/null 2>&1 || break
  sleep 0.3
done
exit 0
"""


@dataclass
class Nodes:
    """How to stop a node and let it go on, as commands of the operator's; `{node}` stands for its name.

    Each hold has a limit: a process of its own lets the node go on even if the drill is killed.
    """

    freeze: Sequence[str] = ()
    thaw: Sequence[str] = ()
    isolate: Sequence[str] = ()
    join: Sequence[str] = ()
    longest_seconds: int = 120
    _guards: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def hold(self, node: str, hold: Sequence[str], release: Sequence[str]) -> None:
        """Stop or cut off a node, for `longest_seconds` at most."""
        let_go = shlex.join(self._words(release, node))
        script = f"sleep {self.longest_seconds}; {let_go}"
        self._guards[node] = subprocess.Popen(
            ["sh", "-c", script], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._run(hold, node)

    def release(self, node: str, release: Sequence[str]) -> None:
        """Let a node go on."""
        self._run(release, node)
        guard = self._guards.pop(node, None)
        if guard is not None:
            os.killpg(guard.pid, signal.SIGKILL)
            guard.wait()

    @staticmethod
    def _words(command: Sequence[str], node: str) -> list[str]:
        return [word.replace("{node}", node) for word in command]

    def _run(self, command: Sequence[str], node: str) -> None:
        words = self._words(command, node)
        try:
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            detail = getattr(error, "stderr", "") or error
            raise DrillError(f"{shlex.join(words)} failed: {detail}") from error


@dataclass
class Scene:
    """Where a fault happens: the cluster and its state before."""

    cluster: DrillCluster
    nodes: Nodes
    primary: str
    standbys: list[str]
    pods: dict[str, dict[str, Any]]

    def node_of(self, member: str) -> str:
        """Return the node on which a member's pod is."""
        node: str = self.pods[member]["spec"]["nodeName"]
        return node

    def run(self, member: str, *command: str) -> tuple[int | None, str]:
        """Run a command in a member's pod."""
        return self.cluster.execute(self.cluster.database, member, list(command))

    def switch_over(self, to: str = "") -> None:
        """Hand the lead to a standby, as roles/postgres does: to whichever is first unless one is named."""
        candidate = ["--candidate", to] if to else []
        code, text = self.run(
            self.primary, "patronictl", "switchover", "postgres", "--leader", self.primary, *candidate, "--force"
        )
        if code != 0:
            raise DrillError(f"patronictl switchover ended with {code}: {text[-300:]}")


def look(cluster: DrillCluster, nodes: Nodes) -> Scene:
    """Wait until the database is whole and describe it."""
    state = cluster.whole(WHOLE_SECONDS)
    standbys = [one["name"] for one in state["members"] if not one["primary"]]
    return Scene(cluster, nodes, state["primary"], standbys, state["pods"])


class Fault:
    """What all faults have in common."""

    name = ""
    title = ""
    # Whether another member must become the primary.
    moves_primary = True
    # How long it lasts at least; it is ended when writes have resumed for a while.
    hold_seconds = 0.0
    # Whether it lasts until it is ended.
    held = False
    # How long it is watched after everything is well again.
    after_seconds = 1.0
    # Whether the writer can be asked in the meantime how it is.
    seen = True
    # Whether a second writer goes to the first primary directly, from its own node.
    writes_beside = False
    standbys_needed = 1

    def prepare(self, scene: Scene) -> Scene:
        """Bring the cluster into the state before the fault."""
        return scene

    def begin(self, scene: Scene) -> None:
        """Let it happen."""
        raise NotImplementedError

    def end(self, scene: Scene) -> None:
        """End it; harmless if there is nothing to end."""


class Switchover(Fault):
    """The planned way."""

    name, title = "switchover", "planned switchover"

    def begin(self, scene: Scene) -> None:
        """Ask Patroni to hand over."""
        scene.switch_over()


class DeletePrimary(Fault):
    """What a drain does."""

    name, title = "delete_primary", "graceful delete of the primary's pod"

    def begin(self, scene: Scene) -> None:
        """Delete the pod."""
        scene.cluster.delete_pod(scene.primary)


class KillPostmaster(Fault):
    """PostgreSQL dies, Patroni lives."""

    name, title = "kill_postmaster", "kill -9 of the postmaster"

    def begin(self, scene: Scene) -> None:
        """Kill it."""
        code, text = scene.run(scene.primary, "sh", "-c", KILL_POSTMASTER)
        if code != 0:
            raise DrillError(f"the postmaster could not be killed: {text}")


def restarts(pod: dict[str, Any]) -> int:
    """Return how often a pod's containers have been restarted."""
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses") or [])


def renew(scene: Scene, members: Sequence[str]) -> Scene:
    """Give members that have been restarted a pod that hasn't, so that the kubelet doesn't hold back a restart."""
    for member in members:
        if restarts(scene.pods[member]) == 0:
            continue
        if member == scene.primary:
            scene.switch_over(scene.standbys[0])
            scene.cluster.whole(WHOLE_SECONDS)
        scene.cluster.delete_pod(member)
        replaced(scene, member)
    return look(scene.cluster, scene.nodes)


def replaced(scene: Scene, member: str) -> None:
    """Wait until a member's pod is another one."""
    was = scene.pods[member]["metadata"]["uid"]
    deadline = time.monotonic() + WHOLE_SECONDS
    while time.monotonic() < deadline:
        if any(pod["metadata"]["name"] == member and pod["metadata"]["uid"] != was for pod in scene.cluster.pods()):
            return
        time.sleep(0.5)
    raise DrillError(f"{member} was not made anew within {WHOLE_SECONDS} s")


class KillContainer(Fault):
    """Everything in the primary's container dies at once, in a pod that was never restarted."""

    name, title = "kill_container", "kill -9 of the whole container"

    def prepare(self, scene: Scene) -> Scene:
        """Make sure that the kubelet restarts it at once."""
        return renew(scene, [*scene.standbys, scene.primary])

    def begin(self, scene: Scene) -> None:
        """Kill it; the command dies with it."""
        with contextlib.suppress(Exception):  # the connection ends with the container
            scene.run(scene.primary, "sh", "-c", KILL_EVERYTHING)


class KillPrimary(KillContainer):
    """The same as it comes, whatever happened to the pod before."""

    name, title = "kill_primary", "kill -9 of the primary's whole container"

    def prepare(self, scene: Scene) -> Scene:
        """Leave everything as it is."""
        return scene


class KillContainerAgain(KillContainer):
    """The same while the kubelet waits before it starts the container once more."""

    name, title = "kill_container_again", "the same again while the kubelet backs off"

    def prepare(self, scene: Scene) -> Scene:
        """Let the container of a standby die until its restarts take long, and make it the primary once it is back."""
        now = renew(scene, [*scene.standbys, scene.primary])
        victim = now.standbys[0]
        # Each wait is twice the one before; how long the first is depends on the version of Kubernetes.
        while (waited := kill_and_wait(now, victim)) < BACK_OFF_SECONDS:
            now = look(now.cluster, now.nodes)
            if restarts(now.pods[victim]) > MOST_RESTARTS:
                raise DrillError(f"the kubelet holds {victim} back for {waited} s at most")
        now = look(now.cluster, now.nodes)
        deadline = time.monotonic() + WHOLE_SECONDS
        while now.primary != victim:
            if time.monotonic() > deadline:
                raise DrillError(f"{victim} did not become the primary within {WHOLE_SECONDS} s")
            # Refused while commits don't count on it yet, and where the labels lag behind.
            with contextlib.suppress(DrillError):
                now.switch_over(victim)
            time.sleep(0.5)
            now = look(now.cluster, now.nodes)
        return now

    def end(self, scene: Scene) -> None:
        """Make sure that it was held back: otherwise this was another fault."""
        pod = next(pod for pod in scene.cluster.pods() if pod["metadata"]["name"] == scene.primary)
        if (seconds := down_for(pod)) < HELD_BACK_SECONDS:
            raise DrillError(f"the kubelet started {scene.primary} again after {seconds:.0f} s: it was not held back")


def down_for(pod: dict[str, Any]) -> float:
    """Return how long a pod's container has been down since it ended last, or was down until it was started again."""
    one = pod["status"]["containerStatuses"][0]
    ended = (one["state"].get("terminated") or (one.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
    if not ended:
        return 0.0
    started = (one["state"].get("running") or {}).get("startedAt")
    until = datetime.fromisoformat(started) if started else datetime.now(UTC)
    return (until - datetime.fromisoformat(ended)).total_seconds()


def kill_and_wait(scene: Scene, member: str) -> int:
    """Kill a member's container, wait until it runs again, and return for how many seconds the kubelet held it back."""
    before, waited, deadline = restarts(scene.pods[member]), 0, time.monotonic() + WHOLE_SECONDS
    with contextlib.suppress(Exception):  # the connection ends with the container
        scene.run(member, "sh", "-c", KILL_EVERYTHING)
    while time.monotonic() < deadline:
        pod = next(pod for pod in scene.cluster.pods() if pod["metadata"]["name"] == member)
        waited = max(waited, held_back(pod))
        if restarts(pod) > before:
            return waited
        time.sleep(0.3)
    raise DrillError(f"{member} was not restarted within {WHOLE_SECONDS} s")


def held_back(pod: dict[str, Any]) -> int:
    """Return for how many seconds the kubelet says that it holds a pod's containers back."""
    waiting = [(one.get("state") or {}).get("waiting") or {} for one in pod["status"].get("containerStatuses") or []]
    found = [re.search(r"back-off (?:(\d+)m)?(?:(\d+)s)? restarting", one.get("message") or "") for one in waiting]
    return max((60 * int(one[1] or 0) + int(one[2] or 0) for one in found if one), default=0)


class NodeFreeze(Fault):
    """The primary's node stops without a word: nothing answers, nothing is closed."""

    name, title = "node_loss", "the primary's node frozen"
    held = True

    def begin(self, scene: Scene) -> None:
        """Freeze it."""
        scene.nodes.hold(scene.node_of(scene.primary), scene.nodes.freeze, scene.nodes.thaw)

    def end(self, scene: Scene) -> None:
        """Let it go on."""
        scene.nodes.release(scene.node_of(scene.primary), scene.nodes.thaw)


class FrozenAndAsked(NodeFreeze):
    """As NodeFreeze, with a writer that goes on writing to the old primary when it wakes up."""

    name, title = "thaw", "the primary's node frozen and thawed, written to on both sides"
    writes_beside = True
    after_seconds = 6.0


class FullDisk(Fault):
    """The primary's volume is full."""

    name, title = "full_disk", "the primary's volume full"
    held = True

    def begin(self, scene: Scene) -> None:
        """Fill it."""
        code, text = scene.run(scene.primary, "sh", "-c", FILL_DISK)
        if code != 0:
            raise DrillError(f"the volume could not be filled: {text}")

    def end(self, scene: Scene) -> None:
        """Make room."""
        scene.run(scene.primary, "rm", "-f", "/var/lib/postgresql/data/drill-filler")


class KillStandby(Fault):
    """A standby dies."""

    name, title = "kill_standby", "kill -9 of a standby's container"
    moves_primary = False

    def prepare(self, scene: Scene) -> Scene:
        """Make sure that the kubelet restarts it at once."""
        return renew(scene, scene.standbys[:1])

    def begin(self, scene: Scene) -> None:
        """Kill it."""
        with contextlib.suppress(Exception):  # the connection ends with the container
            scene.run(scene.standbys[0], "sh", "-c", KILL_EVERYTHING)


class ApiUnreachable(Fault):
    """The API server stops answering."""

    name, title = "api_unreachable", "the API server unreachable for 60 s"
    held = True
    seen = False
    moves_primary = False
    hold_seconds = 60.0
    # Until members have noticed that their watches are broken: three rounds of Patroni's loop.
    after_seconds = 20.0

    def prepare(self, scene: Scene) -> Scene:
        """Find out where it runs."""
        self.where = scene.cluster.control_plane_nodes()
        if not self.where:
            raise DrillError("no node is labelled as the control plane")
        return scene

    def begin(self, scene: Scene) -> None:
        """Freeze it."""
        for node in self.where:
            scene.nodes.hold(node, scene.nodes.freeze, scene.nodes.thaw)

    def end(self, scene: Scene) -> None:
        """Let it go on."""
        for node in self.where:
            scene.nodes.release(node, scene.nodes.thaw)


class Partition(Fault):
    """The primary's node is cut off from all others; its own pods still reach the primary."""

    name, title = "partition", "the primary's node cut off, written to on both sides"
    held = True
    writes_beside = True
    after_seconds = 6.0
    hold_seconds = 45.0

    def begin(self, scene: Scene) -> None:
        """Drop what comes in and goes out."""
        scene.nodes.hold(scene.node_of(scene.primary), scene.nodes.isolate, scene.nodes.join)

    def end(self, scene: Scene) -> None:
        """Stop dropping."""
        scene.nodes.release(scene.node_of(scene.primary), scene.nodes.join)


class StopPatroni(Fault):
    """Patroni is stopped while its PostgreSQL goes on: nobody is left to demote it."""

    name, title = "stop_patroni", "Patroni stopped (SIGSTOP), written to on both sides"
    held = True
    writes_beside = True
    after_seconds = 6.0

    def begin(self, scene: Scene) -> None:
        """Stop it."""
        code, text = scene.run(scene.primary, "python3", "-c", SIGNAL_PATRONI, "SIGSTOP")
        if code != 0:
            raise DrillError(f"Patroni could not be stopped: {text}")

    def end(self, scene: Scene) -> None:
        """Let it go on, unless the kubelet has restarted the container by now."""
        with contextlib.suppress(Exception):
            scene.run(scene.primary, "python3", "-c", SIGNAL_PATRONI, "SIGCONT")


FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        Switchover,
        DeletePrimary,
        KillPostmaster,
        KillContainer,
        KillPrimary,
        KillContainerAgain,
        NodeFreeze,
        FrozenAndAsked,
        FullDisk,
        KillStandby,
        ApiUnreachable,
        Partition,
        StopPatroni,
    )
}
