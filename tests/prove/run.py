"""make prove: the long campaigns, one after the other. What is finished is not run again (build/prove/*.done)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
RESULTS = PROJECT / "build" / "prove"

# In this order; each is a program that writes its raw results to build/prove and can go on where it was stopped.
CAMPAIGNS = ["interrupted_runs"]


def main() -> int:
    """Run what is left; stop at the first campaign that fails."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(CAMPAIGNS, 1):
        done = RESULTS / f"{name}.done"
        if done.exists():
            print(f"==> {number}/{len(CAMPAIGNS)} {name}: done before (remove {done} to repeat it)", flush=True)
            continue
        print(f"==> {number}/{len(CAMPAIGNS)} {name}", flush=True)
        if subprocess.run([sys.executable, HERE / f"{name}.py"], cwd=PROJECT, check=False).returncode != 0:
            print(f"FAILED: {name}; `make prove` goes on from there", file=sys.stderr)
            return 1
        done.touch()
    print(f"all campaigns passed; raw results in {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
