"""versitygw: a real S3 server on loopback, with users of its own and a folder in which objects are plain files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from cluster import gobuild
from testing.server import free_port

ROOT = ("tests-root", "tests-root-secret")
REGION = "eu-test-1"
START_SECONDS = 30


class Gateway:
    """A server whose process can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        """Make its folders and start it."""
        self.folder = folder
        self.data, self.users, self.versions = (folder / name for name in ("data", "users", "versions"))
        for made in (self.data, self.users, self.versions):
            made.mkdir(parents=True)
        self.program = gobuild.build(gobuild.programs()["versitygw"]) / "versitygw"
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [str(self.program), f"--port=127.0.0.1:{self.port}", f"--region={REGION}", "--quiet"]
        command += [f"--iam-dir={self.users}", "--iam-cache-disable"]
        command += ["posix", f"--versioning-dir={self.versions}", str(self.data)]
        env = {**os.environ, "ROOT_ACCESS_KEY": ROOT[0], "ROOT_SECRET_KEY": ROOT[1]}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                ended = self.process.poll()
                assert ended is None, f"versitygw ended with {ended}: {(self.folder / 'log').read_text()}"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    def user(self, name: str) -> tuple[str, str]:
        """Make a user who may do nothing yet; return its credentials."""
        secret = f"secret-of-{name}"
        subprocess.run(
            [
                self.program, "admin", f"--access={ROOT[0]}", f"--secret={ROOT[1]}", f"--region={REGION}",
                f"--endpoint-url={self.endpoint}",
                "create-user", f"--access={name}", f"--secret={secret}", "--role=user",
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        return name, secret

    def client(self, credentials: tuple[str, str] = ROOT) -> Any:
        """Return a client, for what tests do by hand."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=credentials[0],
            aws_secret_access_key=credentials[1],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def allow(self, bucket: str, grants: dict[str, dict[str, list[str]]]) -> None:
        """Say what users may do: by user, then by key pattern; the pattern "" is the bucket itself."""
        statements = [
            {
                "Effect": "Allow",
                "Principal": {"AWS": [user]},
                "Action": [f"s3:{action}" for action in actions],
                "Resource": f"arn:aws:s3:::{bucket}" + (f"/{pattern}" if pattern else ""),
            }
            for user, rights in grants.items()
            for pattern, actions in rights.items()
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.client().put_bucket_policy(Bucket=bucket, Policy=policy)

    def file(self, bucket: str, key: str) -> Path:
        """Return where an object lies."""
        return self.data / bucket / key
