"""A kind cluster of one control plane and three workers: make it, load images, describe it to Ansible, remove it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster import docker, images
from cluster.gobuild import forget_sources, install_tools, kubernetes_version
from cluster.paths import HERE, PROJECT, tools
from cluster.shell import Failure, run, say, step

WORKERS = 3
VOLUMES_PER_WORKER = 6
VOLUME_SIZE = "2Gi"
POD_NETWORK = "10.244.0.0/16"
# The container of tests/cluster/registry.py, on the nodes' network.
REGISTRY = "cryptoexchange-registry"


@dataclass(frozen=True)
class Cluster:
    """A cluster by name. `address` is the loopback address on which its ingress listens."""

    name: str
    folder: Path
    address: str

    @property
    def kubeconfig(self) -> Path:
        """Return the path of its kubeconfig file."""
        return self.folder / "kubeconfig"

    @property
    def context(self) -> str:
        """Return kind's name of its context."""
        return f"kind-{self.name}"


CLUSTERS = {
    "demo": Cluster("exchange", PROJECT / "build" / "kind", "127.0.0.1"),
    "test": Cluster("exchange-test", PROJECT / "build" / "test", "127.0.0.2"),
}


def kind_config(cluster: Cluster, *, upstream: bool) -> dict[str, Any]:
    """Return kind's configuration. With upstream images kind brings its own network and storage."""
    ports = [
        {"containerPort": 30080, "hostPort": 80, "listenAddress": cluster.address},
        {"containerPort": 30443, "hostPort": 443, "listenAddress": cluster.address},
    ]
    kubelet = {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        # Certificates of the cluster's CA, as on a well-kept cluster: metrics-server checks them.
        "serverTLSBootstrap": True,
    }
    config: dict[str, Any] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane", "extraPortMappings": ports}, *[{"role": "worker"}] * WORKERS],
        "kubeadmConfigPatches": [yaml.safe_dump(kubelet)],
    }
    if upstream:
        return config
    kubelet |= {
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "resolvConf": "/kind/resolv.conf",
        # Nothing can be pulled again, so nothing is collected.
        "imageGCHighThresholdPercent": 100,
    }
    return {
        **config,
        "networking": {"disableDefaultCNI": True, "podSubnet": POD_NETWORK},
        "kubeadmConfigPatches": [yaml.safe_dump(kubelet)],
    }


def network_script(node: str, networks: dict[str, str], addresses: dict[str, str]) -> str:
    """Return the script that connects a node's pods with all others: CNI, routes, masquerading to the outside.

    Args:
        node: its name.
        networks: node -> pod network, such as 10.244.1.0/24.
        addresses: node -> address on kind's network.
    """
    cni = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": networks[node]}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    routes = [
        f"ip route replace {networks[other]} via {addresses[other]}" for other in sorted(networks) if other != node
    ]
    outside = f"POSTROUTING -s {networks[node]} ! -d {POD_NETWORK} -j MASQUERADE"
    return "\n".join(
        [
            "#!/bin/sh",
            "set -e",
            *routes,
            f"iptables -t nat -C {outside} 2>/dev/null || iptables -t nat -A {outside}",
            f"cat >/etc/cni/net.d/10-pods.conflist <<'END'\n{json.dumps(cni)}\nEND",
            "",
        ]
    )


def persistent_volumes(workers: list[str]) -> list[dict[str, Any]]:
    """Return the volumes that the workers' entrypoints have mounted."""
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{worker}-{number}"},
            "spec": {
                "capacity": {"storage": VOLUME_SIZE},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "standard",
                "local": {"path": f"/mnt/volumes/{number}"},
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [worker]}
                                ]
                            }
                        ]
                    }
                },
            },
        }
        for worker in workers
        for number in range(1, VOLUMES_PER_WORKER + 1)
    ]


def kubectl(cluster: Cluster, *argv: str, text_in: str | None = None) -> str:
    """Run kubectl against the cluster and return what it printed."""
    return run([tools() / "kubectl", f"--kubeconfig={cluster.kubeconfig}", *argv], text_in=text_in)


def apply(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    """Apply objects, server-side."""
    kubectl(cluster, "apply", "--server-side", "-f", "-", text_in=yaml.safe_dump_all(objects))


def exists(cluster: Cluster) -> bool:
    """Say whether the cluster is there and its API answers."""
    names = run([tools() / "kind", "get", "clusters"], check=False).split()
    if cluster.name not in names:
        return False
    run([tools() / "kind", "export", "kubeconfig", "--name", cluster.name, "--kubeconfig", cluster.kubeconfig])
    return True


def up(cluster: Cluster) -> None:
    """Make the cluster unless it exists, with images and, without a registry, the ingress stand-in."""
    cluster.folder.mkdir(parents=True, exist_ok=True)
    if existing := os.environ.get("TEST_KUBECONFIG"):
        describe(cluster, existing, os.environ.get("TEST_CONTEXT", ""))
        say(f"    using the cluster that TEST_KUBECONFIG names: {existing}")
        return
    docker.ensure()
    install_tools()
    if exists(cluster):
        say(f"    cluster {cluster.name} is already up")
    else:
        create(cluster)
    load(cluster)
    if not images.registry_reachable():
        with step("Start the ingress stand-in (Traefik serves class nginx)", 10):
            kubectl(cluster, "apply", "--server-side", "-f", str(HERE / "manifests" / "traefik-standin.yaml"))
            kubectl(
                cluster, "-n", "ingress-standin", "rollout", "status", "deployment/traefik-standin", "--timeout=120s"
            )
    forget_sources()
    describe(cluster, str(cluster.kubeconfig), cluster.context)


def refuse_existing() -> None:
    """Refuse an existing cluster: what calls this reaches one that kind made, and plays would reach the other.

    Raises:
        Failure: TEST_KUBECONFIG names one.
    """
    if existing := os.environ.get("TEST_KUBECONFIG"):
        raise Failure(f"TEST_KUBECONFIG names {existing}: this needs a kind cluster of its own; unset it")


def create(cluster: Cluster) -> None:
    """Create the cluster with kind and finish what kind leaves to us without upstream images."""
    upstream = images.registry_reachable()
    argv: list[str | Path] = [tools() / "kind", "create", "cluster", "--name", cluster.name, "--config", "-"]
    argv += ["--kubeconfig", cluster.kubeconfig, "--retain"]
    argv += ["--image", f"kindest/node:{kubernetes_version()}" if upstream else images.node_image()]
    with step(f"Create the kind cluster {cluster.name}: a control plane and {WORKERS} workers", 60):
        try:
            run(argv, text_in=yaml.safe_dump(kind_config(cluster, upstream=upstream)))
        except Failure:
            logs = cluster.folder / "logs"
            run([tools() / "kind", "export", "logs", "--name", cluster.name, logs], check=False)
            run([tools() / "kind", "delete", "cluster", "--name", cluster.name], check=False)
            say(f"    the nodes' logs are in {logs}")
            raise
        cluster.kubeconfig.chmod(0o600)
        if not upstream:
            connect(cluster)
        kubectl(cluster, "wait", "node", "--all", "--for=condition=Ready", "--timeout=180s")
        approve_kubelets(cluster)
        kubectl(cluster, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s")


def unsigned_kubelets(requests: list[dict[str, Any]]) -> tuple[list[str], set[str]]:
    """Return the requests for a kubelet's certificate that nobody has judged, and the nodes that have got one."""
    serving = [item for item in requests if item["spec"]["signerName"] == "kubernetes.io/kubelet-serving"]
    waiting = [item["metadata"]["name"] for item in serving if not (item.get("status") or {}).get("conditions")]
    signed = [item for item in serving if (item.get("status") or {}).get("certificate")]
    return waiting, {item["spec"]["username"].removeprefix("system:node:") for item in signed}


def approve_kubelets(cluster: Cluster) -> None:
    """Approve the kubelets' own certificates: nothing in a cluster does by itself, and without no log can be read."""
    nodes = set(node_names(cluster))
    deadline = time.monotonic() + 120
    while True:
        waiting, done = unsigned_kubelets(json.loads(kubectl(cluster, "get", "csr", "-o", "json"))["items"])
        if nodes <= done:
            return
        if time.monotonic() > deadline:
            raise Failure(f"no certificate after 120 s for the kubelets of {', '.join(sorted(nodes - done))}")
        if waiting:
            kubectl(cluster, "certificate", "approve", *waiting)
        time.sleep(0.5)


def node_names(cluster: Cluster) -> list[str]:
    """Return the names of the cluster's nodes, which are its containers' names."""
    return sorted(run([tools() / "kind", "get", "nodes", "--name", cluster.name]).split())


def connect(cluster: Cluster) -> None:
    """Give pods their network and volumes their objects."""
    nodes = node_names(cluster)
    deadline = time.monotonic() + 60
    networks: dict[str, str] = {}
    addresses: dict[str, str] = {}
    while len(networks) < len(nodes):
        for item in json.loads(kubectl(cluster, "get", "nodes", "-o", "json"))["items"]:
            if item["spec"].get("podCIDR"):
                networks[item["metadata"]["name"]] = item["spec"]["podCIDR"]
                inside = next(a for a in item["status"]["addresses"] if a["type"] == "InternalIP")
                addresses[item["metadata"]["name"]] = inside["address"]
        if time.monotonic() > deadline:
            raise Failure(f"only {sorted(networks)} of the nodes {nodes} got a pod network within 60 s")
        time.sleep(0.5)
    for node in nodes:
        script = network_script(node, networks, addresses)
        command = "cat >/var/lib/kind-network && chmod +x /var/lib/kind-network && /var/lib/kind-network"
        run(["docker", "exec", "-i", node, "sh", "-c", command], text_in=script)
    apply(cluster, persistent_volumes([node for node in nodes if "worker" in node]))


def load(cluster: Cluster, names: list[str] | None = None) -> None:
    """Build images, all that a cluster needs unless some are named, and put them on the nodes that lack them."""
    wanted = [images.build_owned(name) for name in names or images.OWNED if name in images.OWNED]
    everywhere: list[str] = []
    if names and not images.registry_reachable():
        wanted += images.build_others([name for name in names if name not in images.OWNED])
    elif not images.registry_reachable():
        wanted.append(images.build_standin())
        if cluster is CLUSTERS["demo"]:  # Molecule's scenarios install neither monitoring nor logging
            everywhere = images.build_others(images.ON_EVERY_NODE)
            wanted += [*images.build_others(images.ON_WORKERS), *everywhere]
    marks = {}
    for reference in wanted:
        identity = run(["docker", "image", "inspect", "--format", "{{.Id}}", reference]).strip()
        marks[reference] = f"/var/lib/kind-loaded/{identity.removeprefix('sha256:')}"
    lacking: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for node in node_names(cluster):
        there = run(["docker", "exec", node, "sh", "-c", "ls -d /var/lib/kind-loaded/* 2>/dev/null || true"]).split()
        here = wanted if "worker" in node else everywhere
        lacking[tuple(reference for reference in here if marks[reference] not in there)].append(node)
    for references, nodes in lacking.items():
        if not references:
            continue
        with step(f"Load into {', '.join(nodes)}: {', '.join(references)}", 60):
            pour(references, nodes)
        for node in nodes:
            made = " ".join(marks[reference] for reference in references)
            run(["docker", "exec", node, "sh", "-c", f"mkdir -p /var/lib/kind-loaded && touch {made}"])


def pour(references: Sequence[str], nodes: Sequence[str]) -> None:
    """Stream images into the containerd of some nodes at once, with no file in between."""
    command = ["ctr", "-n", "k8s.io", "images", "import", "-"]
    with subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        importing = {
            node: subprocess.Popen(
                ["docker", "exec", "-i", node, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for node in nodes
        }
        while chunk := saving.stdout.read(1 << 20):
            for one in importing.values():
                with suppress(BrokenPipeError):  # how it ended is told below
                    one.stdin.write(chunk)  # type: ignore[union-attr]
    for node, one in importing.items():
        _, problem = one.communicate()
        if one.returncode != 0:
            raise Failure(f"{node} didn't take {', '.join(references)}: {problem.decode(errors='replace')[-2000:]}")
    if saving.returncode != 0:
        raise Failure(f"docker save {' '.join(references)} ended with {saving.returncode}")


def recycle_volumes(cluster: Cluster) -> None:
    """Empty the volumes whose claims are gone, and offer them again."""
    listed = json.loads(kubectl(cluster, "get", "pv", "-o", "json"))["items"]
    for volume in (item for item in listed if item["status"]["phase"] in {"Released", "Failed"}):
        name, path = volume["metadata"]["name"], volume["spec"]["local"]["path"]
        node = name.rsplit("-", 1)[0]
        run(["docker", "exec", node, "find", path, "-mindepth", "1", "-delete"])
        # Without the reference to the claim that is gone it is available again.
        kubectl(cluster, "patch", "pv", name, "--type=json", '-p=[{"op": "remove", "path": "/spec/claimRef"}]')


def components(cluster: Cluster) -> list[str]:
    """Return what is installed on a cluster: on the demo's, what needs no secrets of a site's own."""
    defaults = yaml.safe_load((PROJECT / "roles" / "platform" / "defaults" / "main.yml").read_text())
    listed: list[str] = defaults["platform_components"]
    if cluster is not CLUSTERS["demo"]:
        return listed
    # Grafana's image can't be built here.
    return [*listed, "monitoring", "logging", *(["grafana"] if images.registry_reachable() else [])]


def describe(cluster: Cluster, kubeconfig: str, context: str) -> None:
    """Write which cluster this is as inventory variables, so that a play can't reach another one by accident."""
    argv: list[str | Path] = [
        tools() / "kubectl",
        f"--kubeconfig={kubeconfig}",
        *([f"--context={context}"] if context else []),
    ]
    uid = run([*argv, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]).strip()
    context = context or run([*argv, "config", "current-context"]).strip()
    facts: dict[str, Any] = {
        "platform_kubeconfig": kubeconfig,
        "platform_context": context,
        "platform_cluster_uid": uid,
        "platform_components": components(cluster),
        "exchange_app_helm_binary": str(tools() / "helm"),
    }
    if not os.environ.get("TEST_KUBECONFIG") and not images.registry_reachable():
        facts |= {
            "ingress_nginx_controller": "existing",
            "platform_images": images.image_map(),
            # Its image can't be had.
            "monitoring_kube_state_metrics": False,
            # The ingress stand-in: it is collected, and the probe goes through it.
            "monitoring_namespaces": ["ingress-standin"],
            "monitoring_probes": [
                {
                    "name": "application",
                    "url": "https://{{ platform_domain }}/readyz",
                    "through": "traefik-standin.ingress-standin.svc",
                }
            ],
            "monitoring_probes_to": [{"namespace": "ingress-standin"}],
            "monitoring_probes_ports": [443, 8443],
            # The collector that is built here lacks the part that reads them.
            "loki_kubernetes_events": False,
        }
    text = "---\n# Written by tests/cluster when it made the cluster.\n" + yaml.safe_dump(facts, sort_keys=False)
    (inventory(cluster) / "cluster.yml").write_text(text)


def inventory(cluster: Cluster) -> Path:
    """Return the folder of variables of the cluster's inventory, which it makes if need be."""
    if cluster is CLUSTERS["demo"]:
        return PROJECT / "inventories" / "kind" / "group_vars" / "all"
    target = cluster.folder / "inventory" / "group_vars" / "all"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROJECT / "inventories" / "kind" / "hosts.yml", cluster.folder / "inventory")
    return target


def down(cluster: Cluster) -> None:
    """Remove the cluster and, if nothing else runs in it, the docker daemon that we started."""
    if os.environ.get("TEST_KUBECONFIG"):
        say("    the cluster that TEST_KUBECONFIG names is left as it is")
        return
    if docker.our_pid():
        os.environ.setdefault("DOCKER_HOST", docker.SOCKET)
    if not docker.answers() or not (tools() / "kind").exists():
        return
    with step(f"Remove the kind cluster {cluster.name}"):
        run([tools() / "kind", "delete", "cluster", "--name", cluster.name, "--kubeconfig", cluster.kubeconfig])
        if not run(["docker", "ps", "-aq", "--filter", "label=io.x-k8s.kind.cluster"]).strip():
            run(["docker", "rm", "--force", "--volumes", REGISTRY], check=False)
        if not run(["docker", "ps", "-aq", "--filter", "network=kind"]).strip():
            run(["docker", "network", "rm", "kind"], check=False)
    for name in ("cluster.yml", "s3.yml"):
        (inventory(cluster) / name).unlink(missing_ok=True)
    docker.stop_if_idle()
