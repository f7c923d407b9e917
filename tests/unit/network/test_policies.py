"""The evaluator against what the NetworkPolicy documentation says, example by example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection
from network.policies import allowed

EXAMPLES = yaml.safe_load((Path(__file__).parent / "policies.yml").read_text())
CASES = [
    pytest.param(example["policies"], case, id=f"{example['name']}: {case['case']}")
    for example in EXAMPLES
    for case in example["cases"]
]


def subject(text: str) -> dict[str, Any]:
    """Return what `namespace/key=value,...` or an address means."""
    if "/" not in text:
        return {"address": text}
    namespace, _, labels = text.partition("/")
    return {"namespace": namespace, "labels": dict(label.split("=") for label in labels.split(",") if label)}


@pytest.mark.parametrize(("policies", "case"), CASES)
def test_example(policies: list[dict[str, Any]], case: dict[str, Any]) -> None:
    complete = [{"metadata": {"namespace": "default"}, **policy} for policy in policies]
    source, _, target = case["case"].partition(" -> ")
    end = case.get("port", 80), case.get("protocol", "TCP"), case.get("name", "")
    assert allowed(complete, Connection(subject(source), subject(target), *end)) is case["allowed"]


def test_every_example_allows_and_refuses_something() -> None:
    one_sided = [e["name"] for e in EXAMPLES if len({case["allowed"] for case in e["cases"]}) == 1]
    # Those two have one answer, as their names say.
    assert one_sided == ["no policy", "allow all ingress"]


def test_port_ranges_are_refused_rather_than_guessed() -> None:
    rule = {"ports": [{"port": 1, "endPort": 9, "protocol": "TCP"}]}
    policy = {
        "metadata": {"namespace": "default"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [rule]},
    }
    with pytest.raises(NotImplementedError):
        allowed([policy], Connection({"address": "192.0.2.1"}, {"namespace": "default", "labels": {}}, 5))
