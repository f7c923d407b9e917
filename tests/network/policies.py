"""What NetworkPolicies allow, worked out on paper: the semantics of networking.k8s.io/v1, without port ranges.

A pod is ``{namespace, labels}``, an address outside the cluster ``{address}``. Namespaces carry the label that the API
server gives them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import NAMESPACE_LABEL, Connection

Object = Mapping[str, Any]


def allowed(policies: Sequence[Object], connection: Connection) -> bool:
    """Say whether a connection gets through: out of its source and into its target."""
    return _side(policies, "Egress", connection) and _side(policies, "Ingress", connection)


def _side(policies: Sequence[Object], kind: str, connection: Connection) -> bool:
    """Say whether the policies on one side let a connection through: all do if none selects the pod."""
    ends = (connection.target, connection.source) if kind == "Ingress" else (connection.source, connection.target)
    pod, other = ends
    if "labels" not in pod:
        return True
    rules, peers = ("ingress", "from") if kind == "Ingress" else ("egress", "to")
    chosen = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == pod["namespace"]
        and kind in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod["labels"])
    ]
    return not chosen or any(
        _ports_match(rule.get("ports") or [], connection)
        and (not rule.get(peers) or any(_peer_matches(peer, policy, other) for peer in rule[peers]))
        for policy in chosen
        for rule in policy["spec"].get(rules) or []
    )


def _ports_match(ports: Sequence[Object], connection: Connection) -> bool:
    """Say whether a rule's ports include the connection's; no ports are all ports."""
    if any("endPort" in port for port in ports):
        raise NotImplementedError("port ranges are not used here")
    return not ports or any(
        port.get("protocol", "TCP") == connection.protocol
        and port.get("port") in {None, connection.port, connection.port_name or None}
        for port in ports
    )


def _peer_matches(peer: Object, policy: Object, other: Object) -> bool:
    if "ipBlock" in peer:
        # Whether a block means pods too depends on the network plugin; ours don't count on it.
        if "address" not in other:
            return False
        address = ipaddress.ip_address(other["address"])
        block = peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(hole) for hole in block.get("except") or []
        )
    if "labels" not in other:
        return False
    if "namespaceSelector" in peer:
        here = selects(peer["namespaceSelector"], {NAMESPACE_LABEL: other["namespace"]})
    else:
        here = other["namespace"] == policy["metadata"]["namespace"]
    return here and selects(peer.get("podSelector") or {}, other["labels"])


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Say whether a label selector selects these labels. An empty one selects everything."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _expression(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _expression(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            # Also what doesn't have the label at all.
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"unknown operator {expression['operator']}")
