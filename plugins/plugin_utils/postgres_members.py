"""Members of a PostgreSQL cluster under Patroni, read from their pods."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Member:
    """One pod of the database and what Patroni says of it in the annotation ``status``."""

    name: str
    ordinal: int
    primary: bool
    ready: bool
    deleting: bool
    state: str
    replication_state: str
    timeline: int
    pending_restart: bool
    revision: str
    reason: str

    @property
    def working(self) -> bool:
        """Say whether it serves: the primary runs, or a standby streams from it."""
        streams = self.primary or self.replication_state == "streaming"
        return self.ready and not self.deleting and self.state == "running" and streams


def member(pod: Mapping[str, Any]) -> Member:
    """Return the member that a pod (as the API returns it) runs."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    name: str = metadata["name"]
    labels = metadata.get("labels") or {}
    try:
        said = json.loads((metadata.get("annotations") or {}).get("status", "{}"))
    except ValueError:
        said = {}
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or []}
    return Member(
        name=name,
        ordinal=int(name.rsplit("-", 1)[1]),
        primary=labels.get("role") == "primary",
        ready=conditions.get("Ready") == "True",
        deleting=bool(metadata.get("deletionTimestamp")),
        state=said.get("state", "unknown"),
        replication_state=said.get("replication_state", ""),
        timeline=int(said.get("timeline") or 0),
        pending_restart=bool(said.get("pending_restart")),
        revision=labels.get("controller-revision-hash", ""),
        reason=_waiting_reason(status),
    )


def cluster_state(pods: Iterable[Mapping[str, Any]], replicas: int) -> dict[str, Any]:
    """Return what the role needs to know of the cluster, as plain data.

    Returns:
        ``members`` by ordinal, ``primary`` (its name, or "" unless there is exactly one that isn't being deleted),
        ``problems`` (a sentence each; none: every wanted member serves), ``progress`` (one line), ``candidate`` (the
        standby to switch over to, or ""), ``primary_goes`` (it is beyond the wanted replicas) and ``pending_restart``
        (names of members, standbys first).
    """
    members = sorted((member(pod) for pod in pods), key=lambda one: one.ordinal)
    primaries = [one for one in members if one.primary and not one.deleting]
    primary = primaries[0] if len(primaries) == 1 else None
    wanted = {f"postgres-{ordinal}" for ordinal in range(replicas)}
    problems = [f"{name} has no pod" for name in sorted(wanted - {one.name for one in members})]
    problems += [f"{one.name} is {_condition(one)}" for one in members if one.name in wanted and not one.working]
    if len(primaries) > 1:
        problems.append(f"{' and '.join(one.name for one in primaries)} are both labelled primary")
    elif primary is None:
        problems.append("there is no primary")
    else:
        problems += [
            f"{one.name} is on timeline {one.timeline}, the primary on {primary.timeline}"
            for one in members
            if one.working and one.timeline != primary.timeline
        ]
    standbys = [one for one in members if one.working and not one.primary and one.name in wanted]
    return {
        "members": [asdict(one) for one in members],
        "primary": primary.name if primary else "",
        "primary_goes": primary is not None and primary.name not in wanted,
        "candidate": standbys[0].name if standbys else "",
        "problems": problems,
        "progress": ", ".join(f"{one.name} {_condition(one)}" for one in members) or "no pods yet",
        "pending_restart": [
            one.name for one in sorted(members, key=lambda one: (one.primary, one.ordinal)) if one.pending_restart
        ],
    }


def restart_order(cluster: Mapping[str, Any], revision: str) -> list[str]:
    """Return the members whose pods are of another revision than the wanted one: standbys first, then the primary.

    Standbys go from the highest ordinal down, like a StatefulSet's own rolling update.
    """
    stale = [one for one in cluster["members"] if one["revision"] != revision]
    return [one["name"] for one in sorted(stale, key=lambda one: (one["primary"], -one["ordinal"]))]


def _condition(one: Member) -> str:
    if one.deleting:
        return "being deleted"
    if one.reason:
        return one.reason
    if one.working:
        return "primary" if one.primary else "streaming"
    words = [one.state, "" if one.ready else "not ready"]
    if one.state == "running" and not one.primary and one.replication_state != "streaming":
        words.append(f"replication {one.replication_state or 'not started'}")
    return ", ".join(word for word in words if word)


def _waiting_reason(status: Mapping[str, Any]) -> str:
    """Return why the pod doesn't run: unschedulable, or the reason that a container gives."""
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return str(waiting.get("reason", "waiting"))
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"not scheduled ({condition.get('message', condition.get('reason', ''))})"
    return ""
