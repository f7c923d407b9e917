"""make bench: what a second run of site.yml costs, next to kubectl apply of the same objects in the same session.

Prints a table and writes all raw trials to build/bench/site.json. Fails only if it couldn't measure.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests"))

from cluster.kind import CLUSTERS, kubectl
from cluster.paths import tools
from cluster.shell import fail, say

TRIALS = 3
MANAGER = "cryptoexchange-platform"


def site() -> tuple[float, int]:
    """Run site.yml once; return seconds and what it says has changed."""
    begun = time.monotonic()
    result = subprocess.run(
        ["ansible-playbook", "site.yml", "-i", "inventories/kind"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    changed = re.search(r"changed=(\d+)", result.stdout)
    return time.monotonic() - begun, int(changed[1]) if changed else -1


def rendered() -> list[dict[str, object]]:
    """Return what site.yml applies, without Secrets: by its lists of applied objects, and the chart's objects."""
    cluster = CLUSTERS["demo"]
    lists = json.loads(
        kubectl(
            cluster,
            "-n",
            "exchange-platform",
            "get",
            "configmap",
            "-l",
            "app.kubernetes.io/component=applied-objects",
            "-o",
            "json",
        )
    )
    found: list[dict[str, object]] = []
    for line in (line for item in lists["items"] for line in item["data"]["objects"].splitlines()):
        api_version, kind, place = line.split(" ")
        namespace, name = place.split("/")
        group = f".{api_version.split('/')[0]}" if "/" in api_version else ""
        where = ["-n", namespace] if namespace else []
        live = json.loads(
            kubectl(cluster, *where, "get", f"{kind}{group}", name, "-o", "json", "--show-managed-fields=false")
        )
        live.pop("status", None)
        for noise in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            live["metadata"].pop(noise, None)
        found.append(live)
    manifest = subprocess.run(
        [tools() / "helm", "--kubeconfig", cluster.kubeconfig, "-n", "exchange", "get", "manifest", "exchange"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found + [item for item in yaml.safe_load_all(manifest.stdout) if item]


def kubectl_apply(path: Path) -> float:
    """Apply the objects with bare kubectl; return seconds."""
    begun = time.monotonic()
    kubectl(
        CLUSTERS["demo"],
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--field-manager=bench",
        "-f",
        str(path),
    )
    return time.monotonic() - begun


def main() -> int:
    """Measure in turn, print, and keep the raw trials."""
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    folder = PROJECT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    objects = rendered()
    path = folder / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    trials = []
    for number in range(1, TRIALS + 1):
        seconds, changed = site()
        if changed != 0:
            return fail(
                f"site.yml said changed={changed}; only runs that change nothing are measured: run it once before"
            )
        trials.append({"site_seconds": seconds, "kubectl_seconds": kubectl_apply(path)})
        say(f"    trial {number} of {TRIALS}: site.yml {seconds:.1f} s, kubectl {trials[-1]['kubectl_seconds']:.1f} s")
    (folder / "site.json").write_text(json.dumps({"objects": len(objects), "trials": trials}, indent=2))
    ours = statistics.median(trial["site_seconds"] for trial in trials)
    theirs = statistics.median(trial["kubectl_seconds"] for trial in trials)
    say(f"\n{'figure':44} {'median':>8}  unit")
    say(f"{'site.yml, second run, changed=0':44} {ours:8.1f}  s")
    say(f"{f'kubectl apply --server-side, {len(objects)} objects':44} {theirs:8.1f}  s")
    say(f"{'ratio':44} {ours / theirs:8.1f}")
    say(f"\nsite.yml re-runs in {ours:.1f} s over {len(objects)} objects; bare kubectl apply takes {theirs:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
