"""The members' volumes: which are smaller than they should be, and whether they can grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity


def plan(claims: Sequence[Mapping[str, Any]], labels: Mapping[str, str], size: str) -> dict[str, Any]:
    """Return what has to become of the volumes.

    Args:
        claims: the namespace's PersistentVolumeClaims, as the API returns them.
        labels: those of the members' claims.
        size: what each should ask for, a Kubernetes quantity.

    Returns:
        ``grow``, names of claims that ask for less; ``classes``, the StorageClasses of these; ``shrink``, names and
        sizes of claims that ask for more, as a text.
    """
    ours = [claim for claim in claims if _has(claim["metadata"].get("labels") or {}, labels)]
    asked = {claim["metadata"]["name"]: claim["spec"]["resources"]["requests"]["storage"] for claim in ours}
    wanted = parse_quantity(size)
    grow = sorted(name for name, has in asked.items() if parse_quantity(has) < wanted)
    shrink = sorted(f"{name} has {has}" for name, has in asked.items() if parse_quantity(has) > wanted)
    classes = {claim["spec"].get("storageClassName") or "" for claim in ours if claim["metadata"]["name"] in grow}
    return {"grow": grow, "classes": sorted(classes), "shrink": ", ".join(shrink)}


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())


def not_grown(claims: Sequence[Mapping[str, Any]], names: Sequence[str], size: str) -> list[str]:
    """Return those of the named claims whose volumes aren't as large yet, each with what it has and why it waits."""
    found = []
    for claim in claims:
        status = claim.get("status") or {}
        has = (status.get("capacity") or {}).get("storage", "0")
        if claim["metadata"]["name"] in names and parse_quantity(has) < parse_quantity(size):
            why = [str(one.get("message") or one["type"]) for one in status.get("conditions") or []]
            found.append(f"{claim['metadata']['name']} has {has}" + (f" ({'; '.join(why)})" if why else ""))
    return sorted(found)
