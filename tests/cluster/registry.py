"""A container registry that this machine pushes to, on loopback, and that the nodes of its clusters pull from.

Everybody calls it 127.0.0.1:5000. In the nodes containerd is told that it is a container beside them.
"""

from __future__ import annotations

import time

import urllib3

from cluster import images, kind
from cluster.kind import Cluster
from cluster.paths import HERE
from cluster.shell import Failure, run, step

ADDRESS = "127.0.0.1:5000"
IMAGE = "cryptoexchange/registry:trixie"


def hosts_toml() -> str:
    """Return what containerd reads about the registry."""
    inside = f"http://{kind.REGISTRY}:5000"
    return f'server = "{inside}"\n\n[host."{inside}"]\n  capabilities = ["pull", "resolve"]\n'


def start(cluster: Cluster) -> None:
    """Start the registry unless it runs, and tell the cluster's nodes."""
    base = images.ensure_base()
    folder = HERE / "images" / "registry"
    images.docker_build(IMAGE, folder, images.folder_digest(folder, extra=base))
    with step(f"Start a registry at {ADDRESS}, and tell the nodes", 5):
        if not run(["docker", "ps", "-q", "--filter", f"name=^{kind.REGISTRY}$"]).strip():
            run(["docker", "rm", "--force", kind.REGISTRY], check=False)
            options = ["--detach", "--name", kind.REGISTRY, "--network", "kind", "--publish", f"{ADDRESS}:5000"]
            run(["docker", "run", *options, IMAGE])
        for node in kind.node_names(cluster):
            tell(node)
        wait()


def tell(node: str) -> None:
    """Write into a node where the registry is. containerd looks there at each pull."""
    configured = run(["docker", "exec", node, "grep", "-c", "certs.d", "/etc/containerd/config.toml"], check=False)
    if not configured.strip().isdigit() or int(configured) == 0:
        raise Failure(f"{node} was made before its containerd looked for registries: make the cluster anew")
    folder = f"/etc/containerd/certs.d/{ADDRESS}"
    command = f"mkdir -p {folder} && cat >{folder}/hosts.toml"
    run(["docker", "exec", "-i", node, "sh", "-c", command], text_in=hosts_toml())


def wait() -> None:
    """Return once the registry answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if urllib3.request("GET", f"http://{ADDRESS}/v2/", timeout=2, retries=False).status == 200:
                return
            problem = "it gives another answer than 200"
        except urllib3.exceptions.HTTPError as error:
            problem = str(error)
        if time.monotonic() > deadline:
            logs = run(["docker", "logs", "--tail", "5", kind.REGISTRY], check=False)
            raise Failure(f"the registry at {ADDRESS} doesn't answer: {problem}\n{logs}")
        time.sleep(0.2)


def push(reference: str, name: str) -> str:
    """Push an image that docker has under another name; return that."""
    there = f"{ADDRESS}/{name}"
    run(["docker", "tag", reference, there])
    run(["docker", "push", "--quiet", there])
    return there
