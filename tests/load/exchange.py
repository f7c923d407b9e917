"""The steady load as the exchange gets it: which requests, and the application as they need it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from cluster.kind import Cluster, kubectl
from cluster.paths import PROJECT
from cluster.shell import Failure

from load.steady import Stream

HERE = Path(__file__).resolve().parent
NAMESPACE = "exchange"
CONFIGMAP = "load-test"
LINKS = r'(?:href|src)="(/static/[^"]+)"'
# What becomes of requests at a rate of 1: shares of it, by name.
SHARES = {
    "GET, kept-alive": 0.45,
    "GET, new connections": 0.15,
    "POST, kept-alive": 0.3,
    "POST, new connections": 0.1,
}
SLOW_SECONDS = 5
# Begins a session of a made-up trader, as logging in does; prints its cookie.
SESSION = """
import importlib
from django.conf import settings
from django.contrib.auth import get_user_model
user = get_user_model().objects.get(username="load1")
store = importlib.import_module(settings.SESSION_ENGINE).SessionStore()
store["_auth_user_id"] = str(user.pk)
store["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[0]
store["_auth_user_hash"] = user.get_session_auth_hash()
store.create()
print(f"COOKIE {settings.SESSION_COOKIE_NAME}={store.session_key}")
"""
# The application with the pages of slow_wsgi.py, by variables that any installation has.
VARIABLES: dict[str, Any] = {
    "exchange_app_args": ["gunicorn", "--config", "gunicorn.conf.py", "slow_wsgi:application"],
    "exchange_app_extra_values": {
        "volumes": [{"name": CONFIGMAP, "configMap": {"name": CONFIGMAP}}],
        "volumeMounts": [{"name": CONFIGMAP, "mountPath": "/load-test", "readOnly": True}],
        "web": {"env": {"PYTHONPATH": "/load-test"}},
    },
}


def mount(cluster: Cluster) -> None:
    """Put slow_wsgi.py where VARIABLES let pods find it."""
    data = {"slow_wsgi.py": (HERE / "slow_wsgi.py").read_text()}
    metadata = {"name": CONFIGMAP, "namespace": NAMESPACE}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    kubectl(cluster, "apply", "--server-side", "-f", "-", text_in=yaml.safe_dump(item))


def unmount(cluster: Cluster) -> None:
    """Remove it again; by then no pod may need it."""
    kubectl(cluster, "-n", NAMESPACE, "delete", "configmap", CONFIGMAP, "--ignore-not-found")


def session(cluster: Cluster) -> str:
    """Begin a session in the cluster's database; return its cookie. trade_load must have made its traders."""
    web = ("-n", NAMESPACE, "exec", "deploy/exchange-web", "--")
    said = kubectl(cluster, *web, "python", "manage.py", "shell", "-c", SESSION)
    cookie = next((line.removeprefix("COOKIE ") for line in said.splitlines() if line.startswith("COOKIE ")), "")
    if not cookie:
        raise Failure(f"no session was begun: {said[-500:]}")
    return cookie


def plain_streams(per_second: float) -> list[Stream]:
    """Return GET and POST on kept and new connections, so many in all."""
    return [
        Stream(
            name,
            "/load-test/echo" if name.startswith("POST") else "/api/v1/markets",
            share * per_second,
            method=name.split(",")[0],
            keep_alive=name.endswith("kept-alive"),
            body="x" * 1000 if name.startswith("POST") else "",
        )
        for name, share in SHARES.items()
    ]


def streams(per_second: float, cookie: str) -> list[Stream]:
    """Return what customers do: the plain ones, and a few of each that a rollout could break in a way of its own."""
    return [
        *plain_streams(per_second),
        Stream("GET of 5 s", f"/load-test/slow?seconds={SLOW_SECONDS}", 0.4),
        Stream("POST of 5 s", f"/load-test/slow?seconds={SLOW_SECONDS}", 0.2, method="POST", body="x"),
        Stream("page", "/accounts/login/", 1, keep_alive=False, linked=LINKS),
        Stream("page of a session", "/wallet/", 1, headers={"Cookie": cookie}),
    ]


def stream_names(wanted: Sequence[Stream]) -> list[str]:
    """Return what a record calls the requests of streams, and those of what their pages link to."""
    return [*(one.name for one in wanted), *(f"{one.name}, linked" for one in wanted if one.linked)]


def authority(cluster: Cluster, folder: Path) -> Path:
    """Return the file with the CA that signed the ingress's certificate."""
    path = folder / "load-ca.crt"
    found = json.loads(kubectl(cluster, "-n", "exchange-platform", "get", "secret", "ingress-ca", "-o", "json"))
    path.write_bytes(base64.b64decode(found["data"]["tls.crt"]))
    return path


def base_url() -> str:
    """Return where the exchange is, as the inventory says."""
    variables = yaml.safe_load((PROJECT / "inventories" / "kind" / "group_vars" / "all" / "platform.yml").read_text())
    return f"https://{variables['platform_domain']}"


@contextlib.contextmanager
def steady(
    record: Path, wanted: Sequence[Stream], url: str, *, address: str, ca_file: Path | None = None
) -> Iterator[None]:
    """Let a load go on while the block runs, in a process of its own.

    Raises:
        Failure: it didn't begin, or ended by itself.
    """
    described = record.with_suffix(".streams.json")
    described.touch(mode=0o600)  # it may hold the cookie of a session
    described.write_text(json.dumps([asdict(one) for one in wanted], indent=1))
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", "load.steady", "--base-url", url, "--address", address]
    command += ["--streams", str(described), "--record", str(record), "--seconds", str(24 * 3600)]
    command += ["--ca-file", str(ca_file)] if ca_file else []
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "tests")}
    with record.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while not record.exists() or record.read_text().count("\n") < 2:
            if process.poll() is not None:
                raise Failure(f"the load ended at once with {process.returncode}: see {record.with_suffix('.log')}")
            if time.monotonic() > deadline:
                process.kill()
                raise Failure(f"the load has no answer after 30 s: see {record.with_suffix('.log')}")
            time.sleep(0.1)
        yield
    finally:
        ended = process.poll()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
        described.unlink()
    if ended is not None:
        raise Failure(f"the load ended by itself with {ended}: see {record.with_suffix('.log')}")
