"""make prove: the long campaigns, one after the other. What is finished is not run again (build/prove/*.done)."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
RESULTS = PROJECT / "build" / "prove"


@dataclass(frozen=True)
class Campaign:
    """A program that can go on where it was stopped, or is short; its raw results are kept in build/prove."""

    name: str
    command: tuple[str, ...]
    folder: Path = PROJECT
    # It prints its result instead of writing it.
    printed: bool = False


# In this order: what needs no cluster first.
CAMPAIGNS = [
    Campaign("traders", ("-m", "testing.traders", "10000"), PROJECT / "app", printed=True),
    Campaign(
        "kill_trials",
        ("-m", "testing.kill_trials", "--trials", "50", "--results", str(RESULTS / "kill_trials.jsonl")),
        PROJECT / "app",
    ),
    Campaign("interrupted_runs", (str(HERE / "interrupted_runs.py"),)),
    Campaign("under_load", (str(HERE / "under_load.py"),)),
    Campaign("rollout", (str(HERE / "rollout.py"),)),
    Campaign("autoscaling", (str(HERE / "autoscaling.py"),)),
    Campaign("moving_in", (str(HERE / "moving_in.py"),)),
    Campaign("moving_in_replicated", (str(HERE / "moving_in.py"), "replicate")),
    Campaign("runner", (str(HERE / "runner.py"),)),
    Campaign("disaster", (str(HERE / "disaster.py"),)),
    Campaign("point_in_time", (str(HERE / "point_in_time.py"),)),
    Campaign("logs", (str(HERE / "logs.py"),)),
    Campaign("demo", (str(HERE / "demo.py"),)),
    Campaign("pipeline", (str(HERE / "pipeline.py"),)),
    # With the tests that are too long to gate a merge (CAMPAIGN=yes).
    Campaign("molecule", ("-m", "molecule", "test", "--all", "--destroy=always")),
    # Last, for it can't begin without a tagged release before this one, or PREVIOUS.
    Campaign("upgrade", (str(HERE / "upgrade.py"),)),
]


def main() -> int:
    """Run what is left; stop at the first campaign that fails."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "CAMPAIGN": "yes"}
    for number, campaign in enumerate(CAMPAIGNS, 1):
        done = RESULTS / f"{campaign.name}.done"
        if done.exists():
            print(
                f"==> {number}/{len(CAMPAIGNS)} {campaign.name}: done before (remove {done} to repeat it)", flush=True
            )
            continue
        print(f"==> {number}/{len(CAMPAIGNS)} {campaign.name}", flush=True)
        with (RESULTS / f"{campaign.name}.json").open("w") if campaign.printed else nullcontext() as output:
            command = [sys.executable, *campaign.command]
            ended = subprocess.run(command, cwd=campaign.folder, env=environment, stdout=output, check=False)
        if ended.returncode != 0:
            print(f"FAILED: {campaign.name}; `make prove` goes on from there", file=sys.stderr)
            return 1
        done.touch()
    print(f"all campaigns passed; raw results in {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
