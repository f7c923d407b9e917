"""Who reaches Loki and the collectors: the rendered NetworkPolicies allow what roles/loki says, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection, Matrix, is_allowed
from network.policies import allowed
from unit.templates.render import render, sets, variables_of

OURS = ("exchange-monitoring", "exchange-node-agents")
PLACES = (*OURS, "exchange", "kube-system", "support", "figures")
# Beside those of the matrix: Loki's own gRPC, a collector's health, and what somebody may open by mistake.
OTHER_PORTS = (9095, 13133, 22, 10250)
# Anybody's, and one of the maximal set's bucket.
ADDRESSES = ("203.0.113.9", "192.0.2.7")
NAME_LOOKUPS = {"from": "ours", "to": "kube_system", "ports": [53], "protocols": ["UDP", "TCP"]}
# Policies, and the variables that they and the matrix are made from.
SETS = ("default", "maximal", "existing")

Data = dict[str, Any]


@cache
def variables(chosen: str) -> Data:
    """Return a set's variables, in the namespaces of this test."""
    return variables_of("loki", sets("loki")[chosen])


def namespaces(chosen: str) -> tuple[str, str]:
    """Return the namespaces of Loki and of the collectors."""
    found = variables(chosen)
    return str(found["platform_namespace_monitoring"]), str(found["platform_namespace_node_agents"])


@cache
def matrix(chosen: str) -> Matrix:
    """Return who may reach whom."""
    found = variables(chosen)
    own = plain(Templar(DataLoader(), found).template({name: found[f"__loki_{name}"] for name in ("ends", "traffic")}))
    ours = [{"namespace": name} for name in namespaces(chosen)]
    ends = {**own["ends"], "ours": ours, "kube_system": [{"namespace": "kube-system"}]}
    return Matrix([*own["traffic"], NAME_LOOKUPS], ends, namespaces(chosen))


def policies(chosen: str) -> list[Data]:
    """Return the role's policies, and what roles/platform puts into every namespace."""
    own: list[Data] = [item for item in render("loki", chosen).objects if item["kind"] == "NetworkPolicy"]
    everywhere = [
        item
        for item in render("platform", "default").objects
        if item["kind"] == "NetworkPolicy" and item["metadata"]["namespace"] == "exchange-platform"
    ]
    assert [item["metadata"]["name"] for item in everywhere] == ["default-deny", "allow-dns"]
    return own + [
        {**item, "metadata": {**item["metadata"], "namespace": namespace}}
        for namespace in namespaces(chosen)
        for item in everywhere
    ]


@cache
def connections(chosen: str) -> tuple[tuple[Connection, bool], ...]:
    """Return connections between pods of every end, each also without one of its labels, in every namespace."""
    everything = matrix(chosen)
    groups = [peer.get("pod_labels") or {} for peers in everything.ends.values() for peer in peers]
    variants = [{k: v for k, v in group.items() if k != left} for group in groups for left in (None, *group)]
    distinct = {tuple(sorted(labels.items())): labels for labels in [{}, *variants]}
    places = {*PLACES, *namespaces(chosen)}
    subjects: list[Data] = [{"namespace": place, "labels": labels} for place in places for labels in distinct.values()]
    subjects += [{"address": address} for address in ADDRESSES]
    ports = sorted({port for flow in everything.flows for port in flow["ports"]} | {*OTHER_PORTS})
    made = (
        Connection(source, target, port, protocol)
        for source in subjects
        for target in subjects
        if {source.get("namespace"), target.get("namespace")} & {*namespaces(chosen)}
        for protocol in ("TCP", "UDP")
        for port in (ports if protocol == "TCP" else (53, 3100))
    )
    return tuple((connection, is_allowed(everything, connection)) for connection in made)


def wrong(chosen: str, given: Sequence[Data]) -> Iterator[str]:
    """Yield what policies treat otherwise than the matrix says."""
    for connection, expected in connections(chosen):
        if allowed(given, connection) is not expected:
            yield f"{connection} is {'refused' if expected else 'allowed'}"


@pytest.mark.parametrize("chosen", SETS)
def test_the_policies_are_as_the_role_says(chosen: str) -> None:
    assert list(wrong(chosen, policies(chosen))) == []
    assert any(expected for _, expected in connections(chosen))


def test_nobody_but_the_collector_grafana_and_the_scraper_reaches_loki() -> None:
    labels = {"app.kubernetes.io/instance": "exchange"}
    loki = {
        "namespace": "exchange-monitoring",
        "labels": {**labels, "app.kubernetes.io/name": "loki", "app.kubernetes.io/component": "logs"},
    }
    reach = {
        (connection.source.get("namespace"), connection.source["labels"].get("app.kubernetes.io/name"))
        for connection, expected in connections("default")
        if expected and connection.target == loki and "labels" in connection.source
    }
    assert reach == {
        ("exchange-node-agents", "collector"),
        ("exchange-monitoring", "prometheus"),
        ("exchange-monitoring", "grafana"),
    }


@pytest.mark.parametrize("name", ["loki", "collector", "logs-scraper", "logs-grafana", "default-deny"])
def test_the_comparison_notices_a_missing_policy(name: str) -> None:
    rest = [item for item in policies("default") if item["metadata"]["name"] != name]
    assert len(rest) < len(policies("default"))
    assert any(wrong("default", rest))


def test_the_comparison_notices_a_policy_that_lets_too_many_in() -> None:
    given = copy.deepcopy(policies("default"))
    loki = next(item for item in given if item["metadata"]["name"] == "loki")
    loki["spec"]["ingress"][0]["from"].append({"namespaceSelector": {}})
    assert any(wrong("default", given))


@pytest.mark.parametrize(("port", "name"), [(3100, "loki"), (8888, "collector")])
def test_an_existing_prometheus_is_let_in_instead_of_ours(port: int, name: str) -> None:
    end = matrix("existing").ends[name][0]
    target = {"namespace": end["namespace"], "labels": end["pod_labels"]}
    theirs = {"namespace": "figures", "labels": {"app.kubernetes.io/name": "prometheus"}}
    ours = {"namespace": OURS[0], "labels": matrix("default").ends["logs-scraper"][0]["pod_labels"]}
    seen = [allowed(policies("existing"), Connection(source, target, port)) for source in (theirs, ours)]
    assert seen == [True, False]
