"""What becomes of a controller's events: ingress_verdict.yml beside this file is the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.ingress_verdict import instant, verdict

CASES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_suffix(".yml").with_stem("ingress_verdict").read_text()
)
DAY = "2026-01-31T"


def ingress(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """Return an Ingress as the API has it."""
    fields = [{"operation": "Apply", "time": f"{DAY}{case.get('changed', '11:00:00')}Z"}]
    if "status_written" in case:
        fields.append({"operation": "Update", "time": f"{DAY}{case['status_written']}Z", "subresource": "status"})
    item: dict[str, Any] = {
        "metadata": {
            "name": name,
            "namespace": case.get("namespace", "exchange"),
            "uid": f"uid-of-{name}",
            "creationTimestamp": f"{DAY}{case.get('created', '10:00:00')}Z",
            "managedFields": fields,
            "annotations": case.get("annotations"),
        },
        "spec": {"rules": [{"host": host} for host in case.get("hosts", [f"{name}.example"])]},
    }
    if case.get("class") != "":
        item["spec"]["ingressClassName"] = case.get("class", "nginx")
    return item


def event(case: dict[str, Any]) -> dict[str, Any]:
    """Return an event as the API has it."""
    about = case.get("about", "web")
    involved = {"kind": "Ingress", "namespace": "exchange", "name": about, "uid": case.get("uid", f"uid-of-{about}")}
    if "config_map" in case:
        involved = {"kind": "ConfigMap", "namespace": "ingress-nginx", "name": case["config_map"], "uid": "uid-of-map"}
    item: dict[str, Any] = {
        "metadata": {"resourceVersion": case.get("version", "1"), "creationTimestamp": f"{DAY}{case['at']}Z"},
        "involvedObject": involved,
        "reason": case["reason"],
        "message": case.get("message", ""),
        "lastTimestamp": f"{DAY}{case['at']}Z",
        "source": {"component": case.get("source", "nginx-ingress-controller")},
    }
    if "series" in case:
        item |= {"series": {"lastObservedTime": f"{DAY}{case['series']}.123456Z"}}
    return item


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdict(case: dict[str, Any]) -> None:
    look = {
        "ingress_class": "nginx",
        "controller": case.get("controller", "f5"),
        "namespaces": ["exchange", "ingress-nginx"],
        "now": f"{DAY}12:00:00.000000+00:00",
        "window_seconds": 60,
    }
    ingresses = [ingress(name, values) for name, values in case.get("ingresses", {}).items()]
    found = verdict(ingresses, [event(values) for values in case.get("events", [])], look)
    assert found == {"problems": [], "waiting": [], "unseen": [], **case["expected"]}


@pytest.mark.parametrize(
    "text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00", "2026-01-31T13:00:00+01:00"]
)
def test_times_are_in_utc(text: str) -> None:
    assert instant(text).timestamp() == 1769860800


def test_events_that_only_say_when_they_were_created_count() -> None:
    bare = event({"reason": "Rejected", "at": "11:59:50"})
    del bare["lastTimestamp"]
    look = {
        "ingress_class": "nginx",
        "controller": "f5",
        "namespaces": ["exchange"],
        "now": f"{DAY}12:00:00",
        "window_seconds": 60,
    }
    assert verdict([ingress("web", {})], [bare], look)["problems"] == ["Ingress exchange/web: Rejected: "]
