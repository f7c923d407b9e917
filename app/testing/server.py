"""A PostgreSQL server of the tests' own, as a pytest plugin: private folder, free port, gone afterwards.

Set TEST_DATABASE_HOST (and _PORT, _USER, _PASSWORD, _SSLMODE) to use a server that runs already; the user must be
allowed to create databases.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

# All of it is in vain the moment the server stops.
FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}
INSTALLED = Path("/usr/lib/postgresql")
HOW = "install PostgreSQL's server (Debian: apt-get install postgresql), or set TEST_DATABASE_HOST to one that runs"


class Server:
    """A running server."""

    def __init__(self, settings: Mapping[str, str] = FAST) -> None:
        """Make a cluster in a temporary folder and start it with these settings of PostgreSQL."""
        self.settings = dict(settings)
        self.folder = Path(tempfile.mkdtemp(prefix="exchange-tests-"))
        self.port = free_port()
        self.bin = newest_bin()
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        shutil.chown(self.folder, self.user)
        (self.folder / "password").write_text("tests")
        shutil.chown(self.folder / "password", self.user)
        data = self.folder / "data"
        self._run(
            "initdb", f"--pgdata={data}", "--username=tests", f"--pwfile={self.folder}/password",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start, and wait until connections are taken."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        } | self.settings
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run(
            "pg_ctl",
            "--wait",
            f"--pgdata={self.folder}/data",
            f"--log={self.folder}/log",
            f"--options={options}",
            "start",
        )

    def stop(self) -> None:
        """Stop at once, as a crash does."""
        self._run("pg_ctl", "--wait", "--mode=immediate", f"--pgdata={self.folder}/data", "stop")

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def environment(self) -> dict[str, str]:
        """Return the variables that point the application here."""
        return {
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_PORT": str(self.port),
            "DATABASE_NAME": "postgres",
            "DATABASE_USER": "tests",
            "DATABASE_PASSWORD": "tests",
            "DATABASE_SSLMODE": "disable",
        }

    def _run(self, program: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [self.bin / program, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=self.user if os.geteuid() == 0 else None,
                check=False,
            )
            output.seek(0)
            if done.returncode:
                raise pytest.UsageError(f"{program} failed with exit code {done.returncode}:\n{output.read()}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def newest_bin() -> Path:
    """Return the folder of the newest installed server's programs."""
    found = sorted((int(path.parent.parent.name), path.parent) for path in INSTALLED.glob("[0-9]*/bin/initdb"))
    if found:
        return found[-1][1]
    program = shutil.which("initdb")
    if program is None:
        raise pytest.UsageError(f"the application's tests need PostgreSQL and found no initdb: {HOW}")
    return Path(program).resolve().parent


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the server and point the settings at it, before Django reads them."""
    given = {
        name.removeprefix("TEST_"): value for name, value in os.environ.items() if name.startswith("TEST_DATABASE_")
    }
    if "DATABASE_HOST" not in given:
        server = Server()
        early_config.add_cleanup(server.remove)
        given = server.environment()
    os.environ.update({"DATABASE_NAME": "postgres", "DATABASE_SSLMODE": "disable"} | given)
