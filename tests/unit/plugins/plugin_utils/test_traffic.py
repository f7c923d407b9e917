"""Policies made of flows: both sides, and nothing opened by an end that is empty."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.filter.network_policies import network_policies
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Connection, Matrix, is_allowed

ENDS: dict[str, list[dict[str, Any]]] = {
    "database": [{"namespace": "data", "pod_labels": {"app": "database"}}],
    "shop": [{"namespace": "shop", "pod_labels": {"part": "shop"}}],
    "nobody": [],
    "anything": [{}],
    "office": [{"cidr": "198.51.100.0/24"}, {"namespace": "vpn"}],
}
SHOP = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}


def policy(*flows: dict[str, Any]) -> dict[str, Any]:
    [made] = network_policies(flows, ENDS, "data")
    assert made["name"] == "database"
    assert made["spec"]["podSelector"] == {"matchLabels": {"app": "database"}}
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    spec: dict[str, Any] = made["spec"]
    return spec


def test_a_flow_opens_its_end_in_the_namespace() -> None:
    spec = policy({"from": "shop", "to": "database", "ports": [5432]})
    assert spec["ingress"] == [
        {
            "from": [{**SHOP, "podSelector": {"matchLabels": {"part": "shop"}}}],
            "ports": [{"port": 5432, "protocol": "TCP"}],
        }
    ]
    assert "egress" not in spec


def test_within_the_namespace_it_opens_both_sides() -> None:
    spec = policy({"from": "database", "to": "database", "ports": [5432, 8008]})
    assert spec["ingress"][0]["from"] == spec["egress"][0]["to"]
    assert [port["port"] for port in spec["egress"][0]["ports"]] == [5432, 8008]


@pytest.mark.parametrize(
    "flow",
    [
        {"from": "nobody", "to": "database", "ports": [5432]},
        {"from": "database", "to": "nobody", "ports": [443]},
        {"from": "database", "to": "anything", "ports": []},
        {"from": "anything", "to": "database", "ports": []},
    ],
)
def test_an_end_or_port_list_that_is_empty_opens_nothing(flow: dict[str, Any]) -> None:
    assert network_policies([flow], ENDS, "data") == []
    spec = policy(flow, {"from": "database", "to": "office", "ports": [1]})
    assert "ingress" not in spec
    assert [rule["ports"] for rule in spec["egress"]] == [[{"port": 1, "protocol": "TCP"}]]


def test_anything_has_ports_alone() -> None:
    spec = policy({"from": "database", "to": "anything", "ports": [443], "protocols": ["TCP", "UDP"]})
    assert spec["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}, {"port": 443, "protocol": "UDP"}]}]


def test_networks_and_whole_namespaces() -> None:
    spec = policy({"from": "office", "to": "database", "ports": [5432]})
    assert spec["ingress"][0]["from"] == [
        {"ipBlock": {"cidr": "198.51.100.0/24"}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "vpn"}}},
    ]


def test_an_end_without_a_flow_gets_no_policy() -> None:
    assert network_policies([{"from": "shop", "to": "office", "ports": [1]}], ENDS, "data") == []


@pytest.mark.parametrize(
    ("flow", "ends", "message"),
    [
        ({"from": "shops", "to": "database", "ports": [1]}, {}, "'shops'"),
        ({"from": "shop", "ports": [1]}, {}, "'to'"),
        (
            {"from": "shop", "to": "database", "ports": [1]},
            {"database": [{"namespace": "data"}]},
            "end database: expected",
        ),
        (
            {"from": "shop", "to": "database", "ports": [1]},
            {"database": ENDS["database"] * 2},
            "end database: expected one peer",
        ),
    ],
)
def test_what_makes_no_sense(flow: dict[str, Any], ends: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        network_policies([flow], {**ENDS, **ends}, "data")


DATABASE = {"namespace": "data", "labels": {"app": "database", "more": "yes"}}
FLOWS = [
    {"from": "shop", "to": "database", "ports": [5432]},
    {"from": "database", "to": "anything", "ports": [443]},
    {"from": "office", "to": "database", "ports": [5432], "protocols": ["UDP"]},
]


@pytest.mark.parametrize(
    ("source", "target", "port", "protocol", "expected"),
    [
        ({"namespace": "shop", "labels": {"part": "shop"}}, DATABASE, 5432, "TCP", True),
        ({"namespace": "shop", "labels": {"part": "shop"}}, DATABASE, 5432, "UDP", False),
        ({"namespace": "shop", "labels": {"part": "shop"}}, DATABASE, 5433, "TCP", False),
        ({"namespace": "shop", "labels": {}}, DATABASE, 5432, "TCP", False),
        ({"namespace": "data", "labels": {"part": "shop"}}, DATABASE, 5432, "TCP", False),
        (DATABASE, {"namespace": "shop", "labels": {"part": "shop"}}, 5432, "TCP", False),
        (DATABASE, {"address": "203.0.113.1"}, 443, "TCP", True),
        (DATABASE, {"namespace": "open", "labels": {}}, 443, "TCP", True),
        # The other side of it is closed, and no flow opens it.
        (DATABASE, DATABASE, 443, "TCP", False),
        ({"address": "198.51.100.7"}, DATABASE, 5432, "UDP", True),
        ({"address": "198.51.101.7"}, DATABASE, 5432, "UDP", False),
        ({"namespace": "vpn", "labels": {}}, DATABASE, 5432, "UDP", True),
    ],
)
def test_is_allowed(source: Any, target: Any, port: int, protocol: str, *, expected: bool) -> None:
    matrix = Matrix(FLOWS, ENDS, ["data", "shop"])
    assert is_allowed(matrix, Connection(source, target, port, protocol)) is expected
