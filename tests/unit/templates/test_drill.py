"""The pod that an alert drill makes, rendered: valid, allowed in its namespace, and reached by who has to reach it."""

from __future__ import annotations

import base64
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from unit.templates import checks
from unit.templates.render import ROLES, render, sets, variables_of
from unit.templates.test_templates import MINORS

ROLE = "monitoring"
CHOSEN = ["default", "maximal"]


def rendered(chosen: str) -> list[dict[str, Any]]:
    """Return the Service and the Pod."""
    variables = {**variables_of(ROLE, sets(ROLE)[chosen]), "__monitoring_drill_name": "drill-1"}
    variables["ansible_search_path"] = [str(ROLES / ROLE)]
    text = (ROLES / ROLE / "templates" / "drill" / "pod.yaml.j2").read_text()
    return list(yaml.safe_load_all(Templar(DataLoader(), variables=variables).template(trust_as_template(text))))


def as_workload(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod as checks look at pods: the template of a workload."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": pod["metadata"],
        "spec": {"template": {"metadata": pod["metadata"], "spec": pod["spec"]}},
    }


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("chosen", CHOSEN)
def test_objects_are_valid(chosen: str, minor: str) -> None:
    for item in rendered(chosen):
        kubernetes_validate.validate(item, minor, strict=True)


@pytest.mark.parametrize("check", checks.ALL)
@pytest.mark.parametrize("chosen", CHOSEN)
def test_objects_pass(chosen: str, check: str) -> None:
    service, pod = rendered(chosen)
    assert checks.ALL[check]([service, as_workload(pod)]) == []


@pytest.mark.parametrize("chosen", CHOSEN)
def test_alertmanager_tells_it_and_policies_let_it(chosen: str) -> None:
    service, pod = rendered(chosen)
    place, labels = pod["metadata"]["namespace"], pod["metadata"]["labels"]
    objects = render(ROLE, chosen).objects
    secret = next(item for item in objects if item["kind"] == "Secret" and item["metadata"]["name"] == "alertmanager")
    address = f"http://{service['metadata']['name']}.{place}.svc:{service['spec']['ports'][0]['port']}/"
    assert address in base64.b64decode(secret["data"]["alertmanager.yml"]).decode()
    (policy,) = [
        item
        for item in objects
        if item["kind"] == "NetworkPolicy"
        and item["metadata"]["namespace"] == place
        and item["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]
    callers = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
    }
    assert callers == {"prometheus", "alertmanager"}
