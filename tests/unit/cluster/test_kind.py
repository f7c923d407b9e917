"""What is handed to kind and to the nodes."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cluster.images import STANDIN
from cluster.kind import (
    CLUSTERS,
    POD_NETWORK,
    VOLUMES_PER_WORKER,
    WORKERS,
    kind_config,
    network_script,
    persistent_volumes,
    unsigned_kubelets,
)
from cluster.paths import HERE

NETWORKS = {"control": "10.244.0.0/24", "worker": "10.244.1.0/24", "worker2": "10.244.2.0/24"}
ADDRESSES = {"control": "172.18.0.2", "worker": "172.18.0.3", "worker2": "172.18.0.4"}


@pytest.mark.parametrize("upstream", [True, False])
@pytest.mark.parametrize("name", CLUSTERS)
def test_a_control_plane_and_workers_listen_on_loopback(name: str, *, upstream: bool) -> None:
    config = kind_config(CLUSTERS[name], upstream=upstream)
    assert [node["role"] for node in config["nodes"]] == ["control-plane", *["worker"] * WORKERS]
    ports = config["nodes"][0]["extraPortMappings"]
    assert {(port["containerPort"], port["hostPort"]) for port in ports} == {(30080, 80), (30443, 443)}
    assert all(ipaddress.ip_address(port["listenAddress"]).is_loopback for port in ports)


def test_clusters_do_not_get_in_each_other_s_way() -> None:
    for attribute in ("name", "folder", "address", "kubeconfig", "context"):
        values = [getattr(cluster, attribute) for cluster in CLUSTERS.values()]
        assert len(set(values)) == len(values), attribute


def test_with_upstream_images_kind_brings_its_own_network() -> None:
    config = kind_config(CLUSTERS["demo"], upstream=True)
    assert "networking" not in config
    [patch] = [yaml.safe_load(text) for text in config["kubeadmConfigPatches"]]
    assert "cgroupDriver" not in patch


def test_without_them_we_bring_ours() -> None:
    config = kind_config(CLUSTERS["demo"], upstream=False)
    assert config["networking"] == {"disableDefaultCNI": True, "podSubnet": POD_NETWORK}
    [patch] = [yaml.safe_load(text) for text in config["kubeadmConfigPatches"]]
    assert (patch["kind"], patch["cgroupDriver"]) == ("KubeletConfiguration", "cgroupfs")
    # An image that the kubelet removes can't be pulled again.
    assert patch["imageGCHighThresholdPercent"] == 100
    assert yaml.safe_load(yaml.safe_dump(config)) == config


def test_a_node_reaches_all_other_nodes_pods_and_its_own_without_a_route() -> None:
    script = network_script("worker", NETWORKS, ADDRESSES)
    routes = [line for line in script.splitlines() if line.startswith("ip route")]
    assert routes == [
        "ip route replace 10.244.0.0/24 via 172.18.0.2",
        "ip route replace 10.244.2.0/24 via 172.18.0.4",
    ]


def test_only_traffic_that_leaves_the_cluster_is_masqueraded_and_that_once() -> None:
    script = network_script("worker", NETWORKS, ADDRESSES)
    [line] = [line for line in script.splitlines() if line.startswith("iptables")]
    rule = f"POSTROUTING -s 10.244.1.0/24 ! -d {POD_NETWORK} -j MASQUERADE"
    assert line == f"iptables -t nat -C {rule} 2>/dev/null || iptables -t nat -A {rule}"


def test_the_network_configuration_is_json_for_the_node_s_own_network() -> None:
    script = network_script("worker2", NETWORKS, ADDRESSES)
    text = script.split("<<'END'\n")[1].split("\nEND")[0]
    [pods, _] = json.loads(text)["plugins"]
    assert pods["ipam"]["ranges"] == [[{"subnet": "10.244.2.0/24"}]]
    assert pods["ipMasq"] is False


def test_the_script_is_one_that_a_shell_understands() -> None:
    script = network_script("worker", NETWORKS, ADDRESSES)
    assert script.startswith("#!/bin/sh\nset -e\n")
    checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_worker_has_its_volumes() -> None:
    volumes = persistent_volumes(["worker", "worker2"])
    assert len({volume["metadata"]["name"] for volume in volumes}) == 2 * VOLUMES_PER_WORKER
    for volume in volumes:
        kubernetes_validate.validate(volume, "1.37", strict=True)
        worker, number = volume["metadata"]["name"].rsplit("-", 1)
        [term] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": [worker]}]
        assert volume["spec"]["local"]["path"] == f"/mnt/volumes/{number}"
        assert 1 <= int(number) <= VOLUMES_PER_WORKER


def test_the_volumes_are_of_the_class_that_is_the_default() -> None:
    classes = list(yaml.safe_load_all((HERE / "node" / "default-storage.yaml").read_text()))
    [default] = [item for item in classes if item and item["kind"] == "StorageClass"]
    assert {volume["spec"]["storageClassName"] for volume in persistent_volumes(["a"])} == {default["metadata"]["name"]}
    assert default["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"


def test_the_stand_in_runs_the_image_that_is_built_and_listens_where_kind_forwards() -> None:
    items = list(yaml.safe_load_all((HERE / "manifests" / "traefik-standin.yaml").read_text()))
    text = yaml.safe_dump_all(items)
    assert STANDIN in text
    for item in items:
        kubernetes_validate.validate(item, "1.37", strict=True)
    [service] = [item for item in items if item["kind"] == "Service"]
    assert {port["nodePort"] for port in service["spec"]["ports"]} == {30080, 30443}


def test_the_stand_in_asks_another_pod_by_a_middleware_that_it_has() -> None:
    items = {
        item["kind"]: item for item in yaml.safe_load_all((HERE / "manifests" / "traefik-standin.yaml").read_text())
    }
    pod = items["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    options = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    [mount], [volume] = container["volumeMounts"], pod["volumes"]
    assert volume == {"name": mount["name"], "configMap": {"name": items["ConfigMap"]["metadata"]["name"]}}
    name = options["providers.file.filename"].removeprefix(f"{mount['mountPath']}/")
    middlewares = yaml.safe_load(items["ConfigMap"]["data"][name])["http"]["middlewares"]
    # Traefik answers 404 to everything if it can't find one.
    assert options["entrypoints.websecure.http.middlewares"].removesuffix("@file") in middlewares


@pytest.mark.parametrize("upstream", [True, False])
def test_kubelets_ask_the_cluster_for_their_certificates(*, upstream: bool) -> None:
    [patch] = kind_config(CLUSTERS["test"], upstream=upstream)["kubeadmConfigPatches"]
    assert yaml.safe_load(patch)["serverTLSBootstrap"] is True


def test_kubelets_without_a_certificate_are_found() -> None:
    def request(name: str, signer: str = "kubelet-serving", **status: Any) -> dict[str, Any]:
        spec = {"signerName": f"kubernetes.io/{signer}", "username": f"system:node:{name}"}
        return {"metadata": {"name": f"csr-{name}"}, "spec": spec, "status": status}

    requests = [
        request("a"),
        request("b", conditions=[{"type": "Approved"}]),
        request("c", conditions=[{"type": "Approved"}], certificate="..."),
        request("d", signer="kube-apiserver-client-kubelet"),
    ]
    assert unsigned_kubelets(requests) == (["csr-a"], {"c"})
