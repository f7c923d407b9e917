"""The whole platform as its user meets it: a page over TLS, an account that outlives every pod."""

from __future__ import annotations

import base64
import os
import secrets
import threading
from pathlib import Path
from typing import Any

import pytest
import testinfra
from browser import Browser
from conftest import CONTEXT, INVENTORIES, KUBECONFIG, Cluster, eventually, no_secret_in, run_playbook

ADDRESS = os.environ.get("TEST_ADDRESS") or ("127.0.0.2" if "build/test" in "".join(INVENTORIES) else "127.0.0.1")


@pytest.fixture
def browser(tmp_path: Path, cluster: Cluster, variables: dict[str, Any]) -> Browser:
    """Return a browser that trusts the platform's CA and nothing else."""
    ca = tmp_path / "ca.crt"
    secret = cluster.kind("Secret").get(name="ingress-ca", namespace="exchange-platform")
    ca.write_bytes(base64.b64decode(secret.data["tls.crt"]))
    return Browser(tmp_path, ca, variables["platform_domain"], ADDRESS)


def test_the_login_page_comes_over_tls_that_our_ca_vouches_for(browser: Browser) -> None:
    page = browser.open("/accounts/login/")
    assert page.status == 200
    assert 'name="password"' in page.body
    assert "strict-transport-security" in page.headers.lower()
    assert "content-security-policy" in page.headers.lower()


def test_plain_http_is_redirected(browser: Browser) -> None:
    page = browser.open("/accounts/login/", scheme="http", follow=False)
    assert page.status in {301, 308}
    assert f"location: https://{browser.domain}/accounts/login/" in page.headers.lower()


def test_a_user_still_logs_in_after_every_pod_has_been_deleted(browser: Browser, cluster: Cluster) -> None:
    name, password = f"user{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    fields = {"username": name, "email": f"{name}@example.com", "password1": password, "password2": password}
    page = browser.submit("/accounts/signup/", fields)
    assert page.status == 200, page.body[:800]
    assert "/wallet/" in page.url, f"{page.url}\n{page.body[:800]}"

    claims = {c["metadata"]["name"]: c["metadata"]["uid"] for c in claims_of(cluster)}
    delete_pods(cluster, "exchange-database", "app.kubernetes.io/component=database")
    delete_pods(cluster, "exchange", "app.kubernetes.io/part-of=cryptoexchange")
    assert {c["metadata"]["name"]: c["metadata"]["uid"] for c in claims_of(cluster)} == claims, "a volume was lost"

    (browser.folder / "jar").unlink()
    page = browser.submit("/accounts/login/", {"login": name, "password": password})
    assert page.status == 200, page.body[:800]
    assert "/wallet/" in page.url, f"{page.url}\n{page.body[:800]}"
    wrong = Browser(browser.folder, browser.ca, browser.domain, browser.address)
    (browser.folder / "jar").unlink()
    assert "/wallet/" not in wrong.submit("/accounts/login/", {"login": name, "password": "wrong"}).url


def claims_of(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the database's volume claims."""
    return cluster.items("PersistentVolumeClaim", namespace="exchange-database")


def delete_pods(cluster: Cluster, namespace: str, selector: str) -> None:
    """Delete the pods at once and wait until as many new ones are ready."""
    old = {p["metadata"]["uid"]: p["metadata"]["name"] for p in running(cluster, namespace, selector)}
    assert old, f"no pods match {selector} in {namespace}"
    for name in old.values():
        cluster.kind("Pod").delete(name=name, namespace=namespace)

    def new_ones_ready() -> bool:
        pods = running(cluster, namespace, selector)
        ready = [p for p in pods if all(c.get("ready") for c in p["status"].get("containerStatuses") or [{}])]
        return len(ready) >= len(old) and not {p["metadata"]["uid"] for p in pods} & set(old)

    eventually(f"new pods for {selector} in {namespace}", new_ones_ready, 180)
    if namespace == "exchange-database":
        names = {p["metadata"]["name"] for p in running(cluster, namespace, selector)}
        assert names == set(old.values()), "members come back under their own names"


def running(cluster: Cluster, namespace: str, selector: str) -> list[dict[str, Any]]:
    """Return the pods that are not finished."""
    pods = cluster.items("Pod", namespace=namespace, label_selector=selector)
    return [pod for pod in pods if pod["status"].get("phase") not in {"Succeeded", "Failed"}]


@pytest.mark.parametrize(
    ("namespace", "selector", "uid"),
    [
        ("exchange-database", "app.kubernetes.io/component=database", 999),
        ("exchange", "app.kubernetes.io/component=web", 10001),
    ],
)
def test_containers_run_without_rights(cluster: Cluster, namespace: str, selector: str, uid: int) -> None:
    pod = running(cluster, namespace, selector)[0]
    name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
    context = f"&context={CONTEXT}" if CONTEXT else ""
    host = testinfra.get_host(
        f"kubectl://{name}?namespace={namespace}&container={container}&kubeconfig={KUBECONFIG}{context}"
    )
    assert host.check_output("id -u") == str(uid)
    assert host.run("touch /etc/written").rc != 0, "the root filesystem can be written"
    status = host.file("/proc/1/status").content_string
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def credentials(cluster: Cluster, name: str) -> dict[str, str]:
    """Return what a Secret of the database holds."""
    found = cluster.kind("Secret").get(name=name, namespace="exchange-database").to_dict()["data"]
    return {key: base64.b64decode(value).decode() for key, value in found.items()}


@pytest.mark.campaign
def test_every_password_changes_while_the_page_is_served(browser: Browser, cluster: Cluster) -> None:
    names = ["postgres-app", "postgres-credentials", "postgres-exporter"]
    before = {name: credentials(cluster, name) for name in names}
    finished, answers = threading.Event(), []

    def visit() -> None:
        while not finished.is_set():
            answers.append(browser.open("/accounts/login/").status)

    visitor = threading.Thread(target=visit)
    visitor.start()
    run = run_playbook("playbooks/rotate_passwords.yml")
    finished.set()
    visitor.join(60)
    assert run.code == 0, run.output
    assert len(answers) > 10
    assert set(answers) == {200}
    after = {name: credentials(cluster, name) for name in names}
    assert after["postgres-app"]["username"] != before["postgres-app"]["username"]
    for name in names:
        changed = {key for key in after[name] if after[name][key] != before[name][key]}
        assert {key for key in after[name] if "password" in key} <= changed
    no_secret_in(run.output, cluster)
    again = run_playbook("site.yml")
    assert (again.code, again.changed) == (0, 0), again.output
