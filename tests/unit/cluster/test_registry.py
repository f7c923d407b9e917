"""What nodes are told about the registry."""

from __future__ import annotations

import tomllib

from cluster import kind, registry
from cluster.paths import HERE


def test_nodes_pull_from_the_container_beside_them() -> None:
    told = tomllib.loads(registry.hosts_toml())
    inside = f"http://{kind.REGISTRY}:5000"
    assert told == {"server": inside, "host": {inside: {"capabilities": ["pull", "resolve"]}}}


def test_our_node_s_containerd_looks_there() -> None:
    config = tomllib.loads((HERE / "node" / "containerd.toml").read_text())
    path = config["plugins"]["io.containerd.cri.v1.images"]["registry"]["config_path"]
    assert path == "/etc/containerd/certs.d"
