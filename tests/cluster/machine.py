"""What the machine must have, and how a person gets it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cluster import docker
from cluster.paths import cache
from cluster.shell import Failure, run, say, step

MEMORY_GIB = 8
DISK_GIB = 20
# Debian packages: command that shows that it is there -> package.
PACKAGES = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "curl": "curl",
    # The application's pages are tested in it.
    "chromium": "chromium",
    # gitlab-ci-local runs the pipeline.
    "node": "nodejs",
    "npm": "npm",
    "rsync": "rsync",
}


def problems(memory_gib: float, disk_gib: float, missing: list[str], *, can_install: bool) -> list[str]:
    """Return what stands in the way, each with what to do about it.

    Args:
        memory_gib: memory that is available.
        disk_gib: disk that is free where the cache is.
        missing: Debian packages that are not installed.
        can_install: whether they can be installed from here (root on Debian).
    """
    found = []
    if memory_gib < MEMORY_GIB:
        found.append(f"{memory_gib:.1f} GiB of memory are available, {MEMORY_GIB} are needed: stop other programs")
    if disk_gib < DISK_GIB:
        found.append(
            f"{disk_gib:.0f} GiB of disk are free in {cache()}, {DISK_GIB} are needed: make room, "
            "or name another folder in CRYPTOEXCHANGE_CACHE"
        )
    if missing and not can_install:
        found.append(f"not installed: {', '.join(missing)}; as root: apt-get install {' '.join(missing)}")
    return found


def available_memory_gib() -> float:
    """Return MemAvailable in GiB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    raise Failure("/proc/meminfo has no MemAvailable: is this Linux?")


def doctor() -> None:
    """Check the machine, install what root on Debian may install, and make sure that docker answers.

    Raises:
        Failure: something is missing; all of it is named at once.
    """
    cache().mkdir(parents=True, exist_ok=True)
    own_docker = {"docker", "dockerd", "runc", "iptables", "ip"}
    needed = {c: p for c, p in PACKAGES.items() if not (c in own_docker and docker.answers())}
    missing = sorted({package for command, package in needed.items() if shutil.which(command) is None})
    # The application's tests start a server of their own. Debian keeps its programs out of PATH.
    if not shutil.which("initdb") and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        missing.append("postgresql")
    can_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    free = shutil.disk_usage(cache()).free / 2**30
    found = problems(available_memory_gib(), free, missing, can_install=can_install)
    if found:
        raise Failure("this machine is not ready:\n  - " + "\n  - ".join(found))
    if missing:
        install(missing)
    docker.ensure()
    say(f"    ready: {available_memory_gib():.0f} GiB of memory available, {free:.0f} GiB of disk free, docker answers")


def install(packages: list[str]) -> None:
    """Install Debian packages."""
    if "postgresql" in packages:
        # Its programs are wanted, not a server that runs ever after.
        settings = Path("/etc/postgresql-common/createcluster.d/no-main-cluster.conf")
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\n")
    with step(f"Install {', '.join(packages)}", 60):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], env=quiet)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], env=quiet)
