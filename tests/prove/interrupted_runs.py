"""site.yml is killed at random moments of an installation and run again: the end is the same as without.

Each trial begins with an empty cluster, kills the play with SIGKILL (the whole process group, helm and all), runs it
again to its end, compares the objects with those of an uninterrupted run, and asks a third run for changed=0.
Raw results: build/prove/interrupted_runs.json, written after each trial; a stopped campaign goes on from there.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "prove")]

from cluster import docker, kind
from cluster.shell import Failure, fail, run, say
from state import NAMESPACES, differences, snapshot

TRIALS = int(os.environ.get("TRIALS", "20"))
CLUSTER = kind.CLUSTERS[os.environ.get("CLUSTER", "test")]
RESULTS = PROJECT / "build" / "prove" / "interrupted_runs.json"
COMMAND = ["ansible-playbook", "site.yml", "-i", "inventories/kind"]
if CLUSTER is kind.CLUSTERS["test"]:
    COMMAND += ["-i", "build/test/inventory"]


def empty() -> None:
    """Remove everything of ours from the cluster."""
    kind.kubectl(CLUSTER, "delete", "namespace", "--ignore-not-found", "--wait", "--timeout=180s", *NAMESPACES)
    kind.recycle_volumes(CLUSTER)


def site() -> tuple[float, int]:
    """Run site.yml to its end; return seconds and the number of changed tasks."""
    begun = time.monotonic()
    output = run(COMMAND, cwd=PROJECT)
    changed = re.search(r"changed=(\d+)", output)
    return time.monotonic() - begun, int(changed[1]) if changed else -1


def killed_after(seconds: float) -> str:
    """Start site.yml, kill it after some seconds, and return the task that it was in."""
    process = subprocess.Popen(
        COMMAND, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    tasks = re.findall(rb"TASK \[(.*?)\]", output)
    return tasks[-1].decode() if tasks else "(before the first task)"


def main() -> int:
    """Run the trials that are left."""
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"trials": []}
    if "expected" not in done:
        empty()
        seconds, _ = site()
        done |= {
            "uninterrupted_seconds": round(seconds, 1),
            "expected": snapshot(CLUSTER),
            "seed": random.randrange(10**6),
        }
        say(f"    uninterrupted: {seconds:.0f} s, {len(done['expected'])} objects")
    moments = random.Random(done["seed"])
    chosen = [moments.uniform(0.5, done["uninterrupted_seconds"]) for _ in range(TRIALS)]
    for number, moment in list(enumerate(chosen, 1))[len(done["trials"]) :]:
        empty()
        task = killed_after(moment)
        seconds, changed = site()
        found = differences(done["expected"], snapshot(CLUSTER))
        _, again = site()
        trial = {"killed_after": round(moment, 1), "in_task": task, "second_run_seconds": round(seconds, 1)}
        done["trials"].append(
            {**trial, "second_run_changed": changed, "third_run_changed": again, "differences": found}
        )
        RESULTS.write_text(json.dumps(done, indent=1))
        say(f"    {number}/{TRIALS}: killed after {moment:.1f} s in «{task}»; again {seconds:.0f} s; changed={again}")
        if found or again != 0:
            say("\n".join(found))
            return fail(f"trial {number} ended in another state than an uninterrupted run (third run: changed={again})")
    kind.down(CLUSTER)
    say(f"{len(done['trials'])} of {TRIALS} interrupted runs ended in the same state as an uninterrupted one")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as error:
        sys.exit(fail(str(error)))
