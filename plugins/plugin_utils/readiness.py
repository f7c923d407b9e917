"""Is a workload ready? Small predicates over live objects, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import results

Live = Mapping[str, Any]


def _observed(live: Live) -> bool:
    return bool((live.get("status") or {}).get("observedGeneration", 0) >= live["metadata"].get("generation", 0))


def deployment_ready(live: Live) -> bool:
    """All replicas are of the newest template and available, and none of an older one is left."""
    wanted = (live.get("spec") or {}).get("replicas", 1)
    status = live.get("status") or {}
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return _observed(live) and all(count == wanted for count in counts)


def stateful_set_ready(live: Live) -> bool:
    """All replicas are ready; with RollingUpdate also of the newest revision (OnDelete leaves that to the role)."""
    spec, status = live.get("spec") or {}, live.get("status") or {}
    wanted = spec.get("replicas", 1)
    ready = status.get("readyReplicas", 0) == wanted == status.get("replicas", 0)
    rolling = (spec.get("updateStrategy") or {}).get("type") != "OnDelete"
    return _observed(live) and ready and (not rolling or status.get("updatedReplicas", 0) == wanted)


def daemon_set_ready(live: Live) -> bool:
    """Every node that should run a pod of the newest template has one that is available."""
    status = live.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    return _observed(live) and status.get("updatedNumberScheduled", 0) == wanted == status.get("numberAvailable", 0)


def job_ready(live: Live) -> bool:
    """The job has completed."""
    conditions = (live.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Complete" and item["status"] == "True" for item in conditions)


READY: dict[str, Callable[[Live], bool]] = {
    "Deployment": deployment_ready,
    "StatefulSet": stateful_set_ready,
    "DaemonSet": daemon_set_ready,
    "Job": job_ready,
}


def is_ready(live: Live) -> bool:
    """Say whether a live object is ready; kinds without a predicate always are."""
    predicate = READY.get(live["kind"])
    return predicate is None or predicate(live)


def not_ready(registered: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the workloads that weren't ready when kubernetes.core.k8s applied them."""
    live = [one["result"] for one in results(registered) if one.get("result")]
    return [
        {
            "kind": item["kind"],
            "name": item["metadata"]["name"],
            "namespace": item["metadata"].get("namespace", ""),
            "api_version": item["apiVersion"],
        }
        for item in live
        if not is_ready(item)
    ]


def pod_problems(pods: Sequence[Live], events: Sequence[Live]) -> list[str]:
    """Return what keeps pods from being ready and the newest warnings about them, as lines for a person."""
    lines = []
    for pod in pods:
        statuses = [
            *(pod["status"].get("initContainerStatuses") or []),
            *(pod["status"].get("containerStatuses") or []),
        ]
        waiting = [
            f"{one['name']}: {state.get('reason', 'not ready')} {state.get('message', '')}".strip()
            for one in statuses
            for state in [(one.get("state") or {}).get("waiting") or (one.get("state") or {}).get("terminated") or {}]
            if not one.get("ready") and state.get("reason") != "Completed"
        ]
        if waiting or pod["status"].get("phase") == "Pending":
            lines.append(
                f"pod {pod['metadata']['name']} is {pod['status'].get('phase')}: "
                f"{'; '.join(waiting) or 'not scheduled'}"
            )
    names = {pod["metadata"]["name"] for pod in pods}
    # Pods that are gone have warnings of their own: of how they went.
    warnings = [
        event
        for event in events
        if event.get("type") == "Warning"
        and (event["involvedObject"]["kind"] != "Pod" or event["involvedObject"]["name"] in names)
    ]
    warnings.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    lines += [
        f"{event['involvedObject']['kind']} {event['involvedObject']['name']}: "
        f"{event.get('reason')}: {event.get('message')}"
        for event in warnings[-10:]
    ]
    return lines


def unready_containers(pods: list[Live]) -> list[dict[str, str]]:
    """Return the containers whose logs tell why a pod isn't ready: pod, container."""
    return [
        {"pod": pod["metadata"]["name"], "container": one["name"]}
        for pod in pods
        for one in [
            *(pod["status"].get("initContainerStatuses") or []),
            *(pod["status"].get("containerStatuses") or []),
        ]
        if not one.get("ready")
        and ((one.get("state") or {}).get("terminated") or {}).get("reason") != "Completed"
        and (one.get("started") or one.get("restartCount", 0) > 0 or (one.get("state") or {}).get("terminated"))
    ]
