"""A kind cluster with the whole platform and backups to an S3 server in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cluster import docker, kind, s3
from cluster.shell import run, step

PROJECT = Path(__file__).resolve().parents[2]
CLUSTER = kind.CLUSTERS[os.environ.get("CLUSTER", "test")]
INVENTORY = ["-i", "inventories/kind", *(["-i", "build/test/inventory"] if CLUSTER is kind.CLUSTERS["test"] else [])]


def playbook(name: str, **variables: Any) -> str:
    """Run a playbook and return what it printed."""
    return run(["ansible-playbook", name, *INVENTORY, "-e", json.dumps(variables)], cwd=PROJECT)


def ready(**variables: Any) -> None:
    """Make the cluster and install the platform with these variables, as far as they aren't there."""
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    # A failure here ends with a run's last lines; all of them are there.
    os.environ["ANSIBLE_LOG_PATH"] = str(PROJECT / "build" / "prove" / "ansible.log")
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    s3.start(CLUSTER)
    with step("The whole platform, with backups", 120):
        playbook("site.yml", **variables)
