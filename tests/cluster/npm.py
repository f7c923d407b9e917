"""gitlab-ci-local: runs .gitlab-ci.yml on this machine, and checks it against GitLab's own schema."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from cluster.paths import PROJECT, cache
from cluster.shell import run, step

LOCKED = PROJECT / "tests" / "ci"


def gitlab_ci_local() -> Path:
    """Return the program's path; what tests/ci/package-lock.json says is installed into the cache, once."""
    lock = (LOCKED / "package-lock.json").read_bytes()
    folder = cache() / "npm" / hashlib.sha256(lock).hexdigest()[:16]
    program = folder / "node_modules" / ".bin" / "gitlab-ci-local"
    if program.exists():
        return program
    folder.parent.mkdir(parents=True, exist_ok=True)
    with step("Install gitlab-ci-local", 10), tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / "made"
        shutil.copytree(LOCKED, made)
        # No package may run a program of its own while it is installed.
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=made)
        made.rename(folder)
    return program
