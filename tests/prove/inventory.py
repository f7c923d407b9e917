"""A cluster's inventory as a folder of its own, for what takes one inventory and isn't this checkout."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml
from cluster import kind
from cluster.kind import Cluster

KIND = Path(__file__).resolve().parents[2] / "inventories" / "kind"


def write(cluster: Cluster, folder: Path, **variables: Any) -> None:
    """Write kind's inventory, with the cluster's own variables and with these, which win."""
    target = folder / "group_vars" / "all"
    target.mkdir(parents=True)
    shutil.copy(KIND / "hosts.yml", folder)
    for source in (KIND / "group_vars" / "all", kind.inventory(cluster)):
        for file in source.glob("*.yml"):
            shutil.copy(file, target)
    # Ansible reads a folder's files by name, and the last one wins.
    (target / "zz_campaign.yml").write_text(yaml.safe_dump(variables))
