"""Alerts that are provoked on a live platform, and reach whoever is to be told. A campaign: some 25 minutes.

Needs a cluster of ours with monitoring, logging and postgres_backup, whose bucket is emptied. What kube-state-metrics
would have to tell (crash loops) is shown by promtool alone where its image can't be had: tests/unit/rules.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any, cast

import pytest
from cluster import s3
from cluster.kind import CLUSTERS
from conftest import KUBECONFIG, Cluster, eventually, run_playbook
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)
from kubernetes.client import AppsV1Api, CoreV1Api
from test_logging import Exchange
from test_monitoring import FIGURE, PLACE, RECEIVER, log_of, pod_of, query, told
from test_postgres import APP, DATABASE, primary, whole

SYSTEM = "exchange-platform"
VOLUME = "filled"
# What is provoked, and labels of the alert that says so: others of its name may fire for something else.
EXPECTED = {
    "a target is gone": {"alertname": "TargetGone", "app": "short-lived"},
    # Waited for before anything else happens to the database.
    "the database's primary is killed": {"alertname": "DatabaseFailedOver"},
    "the database has no primary": {"alertname": "DatabaseWithoutPrimary"},
    "the application answers with server errors": {"alertname": "ErrorBudgetBurns", "slo": "availability"},
    "a replica is removed": {"alertname": "DatabaseMemberDown"},
    "a volume is 90 % full": {"alertname": "VolumeNearlyFull", "persistentvolumeclaim": VOLUME},
    "Loki is down": {"alertname": "LokiDown"},
    "backups are missing": {"alertname": "BackupsGone"},
    "a certificate is about to end": {"alertname": "CertificateEnds", "probe": "application"},
}
# An alert that must last 15 minutes, and what is on its way.
PATIENCE = 1500
FILL = """
import os, time
place = os.statvfs("/data")
with open("/data/full", "wb") as file:
    os.posix_fallocate(file.fileno(), 0, place.f_bavail * place.f_frsize * 95 // 100)
time.sleep(7200)
"""

pytestmark = [pytest.mark.campaign, pytest.mark.usefixtures("own_prometheus")]


@contextmanager
def full_volume(cluster: Cluster) -> Iterator[None]:
    """Have a pod fill a volume of its own."""
    core = cast("Any", CoreV1Api)(cluster.client.client)
    claim = {
        "metadata": {"name": VOLUME},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    core.create_namespaced_persistent_volume_claim(PLACE, claim)
    try:
        with pod_of(cluster, VOLUME, FILL, {}, claim=VOLUME):
            yield
    finally:
        core.delete_namespaced_persistent_volume_claim(VOLUME, PLACE)


@contextmanager
def scaled(cluster: Cluster, namespace: str, name: str, replicas: int, back: int) -> Iterator[None]:
    """Give a StatefulSet another number of pods while the block runs."""
    apps = cast("Any", AppsV1Api)(cluster.client.client)
    apps.patch_namespaced_stateful_set_scale(name, namespace, {"spec": {"replicas": replicas}})
    try:
        yield
    finally:
        apps.patch_namespaced_stateful_set_scale(name, namespace, {"spec": {"replicas": back}})


def secret(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """Return a Secret's data, still encoded."""
    found: dict[str, str] = cast("Any", CoreV1Api)(cluster.client.client).read_namespaced_secret(name, namespace).data
    return found


@contextmanager
def short_certificate(cluster: Cluster) -> Iterator[None]:
    """Serve a certificate of the same CA, key and names that ends in ten days, while the block runs."""
    core = cast("Any", CoreV1Api)(cluster.client.client)
    ca, before = secret(cluster, SYSTEM, "ingress-ca"), secret(cluster, APP, "exchange-tls")
    key = load_pem_private_key(base64.b64decode(ca["tls.key"]), None)
    now, old = datetime.now(UTC), x509.load_pem_x509_certificate(base64.b64decode(before["tls.crt"]))
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), x509.random_serial_number(), now, now + timedelta(days=10)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    core.patch_namespaced_secret("exchange-tls", APP, {"data": {"tls.crt": base64.b64encode(pem).decode()}})
    try:
        yield
    finally:
        core.patch_namespaced_secret("exchange-tls", APP, {"data": {"tls.crt": before["tls.crt"]}})


def empty_bucket(cluster: Cluster, variables: dict[str, Any]) -> None:
    """Remove every backup with the rights that pruning has, once Prometheus has seen that there are some."""
    eventually("a good backup is known", lambda: query(cluster, "exchange_backup_good > 0"), 300)
    (target,) = variables["postgres_backup_targets"]
    (own,) = [one for one in CLUSTERS.values() if one.kubeconfig == KUBECONFIG]
    with s3.forwarded(own) as endpoint:
        user = target["credentials"]["prune"]
        client = s3.client_of(endpoint, user["access_key"], user["secret_key"])
        listed = client.list_objects_v2(Bucket=target["bucket"], Prefix="backups/").get("Contents", [])
        assert listed
        for one in listed:
            client.delete_object(Bucket=target["bucket"], Key=one["Key"])


def failed_requests(exchange: Exchange, seconds: float) -> int:
    """Ask for what needs the database, and return how often the answer was a server error."""
    failed, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        # An answer without the request's id is the ingress' own: no pod is ready.
        with suppress(OSError, HTTPException, AssertionError):
            failed += exchange.ask("GET", "/wallet/", Cookie=f"sessionid={'a' * 32}")[1] >= 500
        time.sleep(0.2)
    return failed


def hears(cluster: Cluster, labels: dict[str, str]) -> None:
    """Wait until the receiver has been told of an alert with these labels that fires."""
    wanted = {**labels, "status": "firing"}.items()
    eventually(
        f"the alert {labels}",
        lambda: any(wanted <= json.loads(line).items() for line in log_of(cluster, RECEIVER) if line.startswith("{")),
        PATIENCE,
    )


@pytest.fixture(scope="module")
def provoked(cluster: Cluster, variables: dict[str, Any]) -> Iterator[None]:
    """Provoke all of it, what takes longest first, and mend it when every alert has been waited for."""
    core = cast("Any", CoreV1Api)(cluster.client.client)
    done = run_playbook("playbooks/backup.yml", "-e", '{"backup_now": ["backup"]}')
    assert done.code == 0, done.output
    with ExitStack() as mended, told(cluster):
        for provoke in (short_certificate, full_volume):
            mended.enter_context(provoke(cluster))
        mended.enter_context(scaled(cluster, PLACE, "loki", 0, 1))
        empty_bucket(cluster, variables)
        with pod_of(cluster, "short-lived", FIGURE, {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}):
            eventually("it is collected", lambda: query(cluster, 'up{app="short-lived"} == 1'), 120)
        was = primary(cluster)
        core.delete_namespaced_pod(was, DATABASE, grace_period_seconds=0)
        eventually("another primary", lambda: primary(cluster) not in {"", was})
        eventually("three members", lambda: whole(cluster), 180)
        hears(cluster, EXPECTED["the database's primary is killed"])
        with scaled(cluster, DATABASE, "postgres", 0, 3):
            assert failed_requests(Exchange(cluster, variables["platform_domain"]), 150)
        eventually("three members again", lambda: whole(cluster), 300)
        mended.enter_context(scaled(cluster, DATABASE, "postgres", 2, 3))
        yield
    eventually("three members at the end", lambda: whole(cluster), 300)


@pytest.mark.usefixtures("provoked")
@pytest.mark.parametrize("what", EXPECTED)
def test_whoever_is_to_be_told_hears_of_it(cluster: Cluster, what: str) -> None:
    hears(cluster, EXPECTED[what])
