"""A docker daemon: the machine's own if it answers, otherwise one of ours with its own data and socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from cluster.paths import HERE, cache
from cluster.shell import Failure, run, say

RUN = Path("/run/cryptoexchange-docker")
PIDFILE = RUN / "dockerd.pid"
SOCKET = f"unix://{RUN}/docker.sock"


def answers(host: str | None = None) -> bool:
    """Say whether a daemon answers, at DOCKER_HOST or docker's default if no host is named."""
    if shutil.which("docker") is None:
        return False
    argv = ["docker", *(["--host", host] if host else []), "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(argv, capture_output=True, check=False, timeout=20).returncode == 0


def our_pid() -> int | None:
    """Return the process id of the daemon that we started, if it runs."""
    try:
        pid = int(PIDFILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"dockerd" in command else None


def ensure() -> None:
    """Make sure that a daemon answers, and point DOCKER_HOST at it.

    Raises:
        Failure: there is none and we may not or can't start one.
    """
    if answers():
        return
    if our_pid() and answers(SOCKET):
        os.environ["DOCKER_HOST"] = SOCKET
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise Failure(
            "no docker daemon answers and this user can't start one: start docker (systemctl start docker) "
            "and join the docker group, or run this as root with docker installed (apt-get install docker.io)"
        )
    start()
    os.environ["DOCKER_HOST"] = SOCKET


def lacks_sys_resource() -> bool:
    """Say whether this machine's own capabilities lack CAP_SYS_RESOURCE (bit 24)."""
    status = Path("/proc/self/status").read_text()
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return not int(bounding, 16) >> 24 & 1


def start() -> None:
    """Start a daemon of our own and wait until it answers."""
    say("==> Start a docker daemon of our own")
    RUN.mkdir(parents=True, exist_ok=True)
    data = cache() / "docker"
    data.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {}
    if lacks_sys_resource():
        # A copy: the daemon may outlive this checkout.
        runtime = shutil.copy(HERE / "runtime" / "runc-without-sys-resource", cache())
        config = {"runtimes": {"limited": {"path": str(runtime)}}, "default-runtime": "limited"}
    (RUN / "daemon.json").write_text(json.dumps(config))
    log = (cache() / "dockerd.log").open("ab")
    argv = [
        "dockerd",
        f"--config-file={RUN}/daemon.json",
        f"--data-root={data}",
        f"--exec-root={RUN}/exec",
        f"--pidfile={PIDFILE}",
        f"--host={SOCKET}",
    ]
    daemon = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not answers(SOCKET):
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = "\n".join((cache() / "dockerd.log").read_text(errors="replace").splitlines()[-5:])
            raise Failure(f"dockerd did not come up; its last words in {cache() / 'dockerd.log'}:\n{last}")
        time.sleep(0.3)


def stop_if_idle() -> None:
    """Stop the daemon that we started, if no container of anybody's runs in it."""
    pid = our_pid()
    if pid is None or run(["docker", "--host", SOCKET, "ps", "-q"], check=False).strip():
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while our_pid() is not None:
        if time.monotonic() > deadline:
            raise Failure(f"dockerd (process {pid}) did not stop within 60 s")
        time.sleep(0.2)
    run(["ip", "link", "delete", "docker0"], check=False)
    # dockerd leaves the mount of its default network namespace behind.
    run(["umount", RUN / "exec" / "netns" / "default"], check=False)
    shutil.rmtree(RUN, ignore_errors=True)
    say("    docker daemon stopped")


def image_exists(reference: str) -> bool:
    """Say whether the daemon has an image."""
    return bool(run(["docker", "image", "ls", "-q", reference]).strip())
