"""What an ingress controller did with our Ingresses, from their status and events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Live = Mapping[str, Any]

# Events that mean: not served as written. F5: internal/logger/events.go of v5.5.4. The last one is the community's.
REJECTIONS = frozenset(
    {
        "AddedOrUpdatedWithError", "AddedOrUpdatedWithWarning", "NoIngressMasterFound", "Rejected", "RejectedWithError",
        "AnnotationParsingFailed",
    }
)  # fmt: skip
# Events about the controller's ConfigMap that mean: a value was ignored, or NGINX didn't load the configuration.
CONFIGURATION_ERRORS = frozenset({"InvalidValue", "UpdatedWithError"})
# The event source of both controllers.
SOURCE = "nginx-ingress-controller"


def verdict(ingresses: Iterable[Live], events: Iterable[Live], look: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the problems of our Ingresses, and those about which the controller hasn't said anything yet.

    Args:
        ingresses: live Ingresses, with managedFields.
        events: live events about them and about the controller's ConfigMap; those of others are left out.
        look: `ingress_class`; `controller` (`f5`, `community` or `existing`; of an existing one nothing is waited for,
            it may write no events); `namespaces` of the platform (other Ingresses are somebody else's); `now` (ISO 8601
            in UTC); `window_seconds` (an Ingress that was changed longer ago has had its answer: events live for an
            hour).

    Returns:
        `problems`: a sentence each. `waiting`: namespace/name of each changed Ingress whose answer is still to come.
        `unseen`: those of them that are new; about a change that means nothing to it a controller is silent.
    """
    ours_alone = look["controller"] != "existing"
    ours = [
        item
        for item in ingresses
        if item["metadata"]["namespace"] in look["namespaces"] and class_of(item) == look["ingress_class"]
    ]
    told = [event for event in events if not ours_alone or (event.get("source") or {}).get("component") == SOURCE]
    problems, waiting, unseen = [], [], []
    for item in ours:
        place = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        newest = newest_event(told, item)
        changed = changed_at(item)
        answered = newest is not None and event_time(newest) >= changed
        if ours_alone and not answered and seconds_since(changed, look["now"]) < look["window_seconds"]:
            waiting.append(place)
            created = instant(item["metadata"]["creationTimestamp"])
            if newest is None and seconds_since(created, look["now"]) < look["window_seconds"]:
                unseen.append(place)
        if newest is not None and newest.get("reason") in REJECTIONS:
            problems.append(f"Ingress {place}: {newest['reason']}: {newest.get('message', '')}")
    if ours_alone:
        problems += configuration_problems(told, look["namespaces"])
    if look["controller"] == "f5":
        problems += duplicate_hosts(ours)
    return {"problems": problems, "waiting": waiting, "unseen": unseen}


def class_of(ingress: Live) -> str:
    """Return an Ingress's class: its field, or the annotation from before there was one."""
    old = (ingress["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class")
    return str((ingress.get("spec") or {}).get("ingressClassName") or old or "")


def instant(text: str) -> datetime:
    """Return a time as the API writes it; one without a zone is in UTC."""
    time = datetime.fromisoformat(str(text))
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def seconds_since(then: datetime, now: str) -> float:
    """Return the seconds from a time to another, which is ISO 8601."""
    return (instant(now) - then).total_seconds()


def event_time(event: Live) -> datetime:
    """Return when an event was last seen."""
    last = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp")
    return instant(last or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def changed_at(ingress: Live) -> datetime:
    """Return when somebody last changed an Ingress itself, not its status."""
    times = [
        instant(entry["time"])
        for entry in ingress["metadata"].get("managedFields") or []
        if entry.get("time") and entry.get("subresource") != "status"
    ]
    return max([*times, instant(ingress["metadata"]["creationTimestamp"])])


def newest_event(events: Iterable[Live], item: Live) -> Live | None:
    """Return the newest event about an Ingress; of two in the same second the one that was written later."""
    about = [event for event in events if event["involvedObject"].get("uid") == item["metadata"]["uid"]]
    return max(about, key=_order, default=None)


def _order(event: Live) -> tuple[datetime, int]:
    version = str(event["metadata"].get("resourceVersion") or "0")
    return event_time(event), int(version) if version.isdecimal() else 0


def configuration_problems(events: Iterable[Live], namespaces: Sequence[str]) -> list[str]:
    """Return what is wrong with the controller's ConfigMap, if it said so after it last read it without an error."""
    about = [event for event in events if event["involvedObject"].get("kind") == "ConfigMap"]
    about = sorted((event for event in about if event["involvedObject"].get("namespace") in namespaces), key=_order)
    good = [index for index, event in enumerate(about) if event.get("reason") == "Updated"]
    since = about[good[-1] + 1 :] if good else about
    lines = [
        f"ConfigMap {event['involvedObject']['name']}: {event.get('message', '')}"
        for event in since
        if event.get("reason") in CONFIGURATION_ERRORS
    ]
    return list(dict.fromkeys(lines))


def duplicate_hosts(ingresses: Iterable[Live]) -> list[str]:
    """Return the hosts that several plain Ingresses claim: F5's controller serves the oldest and rejects the others."""
    claims: dict[str, list[str]] = {}
    for item in ingresses:
        annotations = item["metadata"].get("annotations") or {}
        if "nginx.org/mergeable-ingress-type" in annotations:
            continue
        for host in dict.fromkeys(rule.get("host", "") for rule in (item.get("spec") or {}).get("rules") or []):
            claims.setdefault(host, []).append(f"{item['metadata']['namespace']}/{item['metadata']['name']}")
    return [
        f"host {host or '(any)'}: claimed by the Ingresses {', '.join(sorted(places))}; only one of them is served. "
        "Make them one Ingress, or a master and minions (nginx.org/mergeable-ingress-type)"
        for host, places in sorted(claims.items())
        if len(places) > 1
    ]
