"""Who may reach whom on which ports, as data: the NetworkPolicies made from it, and what a probe of it should find.

An *end* is a list of peers. A peer is ``{namespace, pod_labels}`` (each may be missing: any namespace, any pod),
``{cidr}``, or ``{}`` for anything at all, which opens the other end of a flow alone. A *flow* is ``{from, to, ports}``,
the names of two ends and TCP ports, optionally with ``protocols``. What no flow allows is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Peer = Mapping[str, Any]
Ends = Mapping[str, Sequence[Peer]]
Flow = Mapping[str, Any]

# The API server puts it on every namespace.
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def network_policies(traffic: Sequence[Flow], ends: Ends, namespace: str) -> list[dict[str, Any]]:
    """Return a NetworkPolicy for each end that lies in a namespace and has a flow: its ``name`` and ``spec``.

    Raises:
        KeyError: a flow names an end that isn't there.
        ValueError: an end of the namespace is more than one group of pods, or all of them.
    """
    policies = []
    for name in ends:
        if not any(peer.get("namespace") == namespace for peer in ends[name]):
            continue
        if len(ends[name]) > 1 or not ends[name][0].get("pod_labels"):
            raise ValueError(f"end {name}: expected one peer with pod_labels, since it lies in {namespace}")
        coming = [_rule("from", ends[flow["from"]], flow) for flow in traffic if flow["to"] == name]
        going = [_rule("to", ends[flow["to"]], flow) for flow in traffic if flow["from"] == name]
        if not any(coming) and not any(going):
            continue
        rules = {"ingress": [rule for rule in coming if rule], "egress": [rule for rule in going if rule]}
        spec = {
            "podSelector": {"matchLabels": dict(ends[name][0]["pod_labels"])},
            "policyTypes": ["Ingress", "Egress"],
            # The API server drops an empty list, and would call each further run a change.
            **{direction: some for direction, some in rules.items() if some},
        }
        policies.append({"name": name, "spec": spec})
    return policies


def _rule(side: str, peers: Sequence[Peer], flow: Flow) -> dict[str, Any]:
    """Return an ingress or egress rule, or nothing: to Kubernetes a rule without peers or ports means all of them."""
    ports = [{"port": int(port), "protocol": protocol} for protocol in _protocols(flow) for port in flow["ports"]]
    if not peers or not ports:
        return {}
    if any(not peer for peer in peers):
        return {"ports": ports}
    return {side: [_peer(peer) for peer in peers], "ports": ports}


def _peer(peer: Peer) -> dict[str, Any]:
    if "cidr" in peer:
        return {"ipBlock": {"cidr": peer["cidr"]}}
    name = peer.get("namespace")
    selected: dict[str, Any] = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}} if name else {}}
    if peer.get("pod_labels"):
        selected["podSelector"] = {"matchLabels": dict(peer["pod_labels"])}
    return selected


def _protocols(flow: Flow) -> list[str]:
    return list(flow.get("protocols") or ["TCP"])


@dataclass(frozen=True)
class Matrix:
    """Flows, their ends, and the namespaces that refuse what isn't allowed."""

    flows: Sequence[Flow]
    ends: Ends
    closed: Sequence[str]


@dataclass(frozen=True)
class Connection:
    """A connection to a port of a pod, behind any Service. Both sides are ``{namespace, labels}`` or ``{address}``."""

    source: Peer
    target: Peer
    port: int
    protocol: str = "TCP"
    port_name: str = ""


def is_allowed(matrix: Matrix, connection: Connection) -> bool:
    """Say whether some flow allows a connection."""
    return any(
        connection.port in flow["ports"]
        and connection.protocol in _protocols(flow)
        and any(_matches(peer, connection.source, matrix.closed) for peer in matrix.ends[flow["from"]])
        and any(_matches(peer, connection.target, matrix.closed) for peer in matrix.ends[flow["to"]])
        for flow in matrix.flows
    )


def _matches(peer: Peer, subject: Peer, closed: Sequence[str]) -> bool:
    """Say whether a peer means a pod or an address. Anything at all doesn't mean the pods of closed namespaces."""
    if not peer:
        return subject.get("namespace") not in closed
    if "cidr" in peer:
        # What a pod's address is, and whether a plugin looks at it before or after translation, differs: never a pod.
        return "address" in subject and ipaddress.ip_address(subject["address"]) in ipaddress.ip_network(peer["cidr"])
    if "labels" not in subject:
        return False
    wanted: Mapping[str, str] = peer.get("pod_labels") or {}
    return peer.get("namespace") in {None, subject["namespace"]} and wanted.items() <= subject["labels"].items()
