"""The tests that need everything, on the demo's cluster with an S3 server: metrics, logs, alerts, uninstalling.

Makes the cluster and runs site.yml unless that is done. Empties the bucket of that cluster.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests"))

from cluster import docker, kind, s3
from cluster.shell import run

CLUSTER = kind.CLUSTERS["demo"]
NAMES = ("monitoring", "logging", "dashboards", "alerts", "existing_prometheus", "uninstall")
TESTS = [f"tests/integration/test_{name}.py" for name in NAMES]


def main() -> int:
    """Install everything, and run the tests; return their exit code."""
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    s3.start(CLUSTER)
    run(["ansible-playbook", "site.yml", "-i", "inventories/kind"], cwd=PROJECT)
    os.environ["CAMPAIGN"] = "yes"
    os.chdir(PROJECT)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=8", *TESTS]
    os.execv(sys.executable, argv)  # noqa: S606 - pytest takes this process's place


if __name__ == "__main__":
    sys.exit(main())
