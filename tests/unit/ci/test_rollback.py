"""Which revision is gone back to, and when. Helm itself reads the histories, from a server that answers as the API."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.helm_release import encode
from cluster import gobuild
from unit.charts.test_exchange import helm
from unit.ci.api import kubeconfig, serving

SCRIPTS = Path(__file__).resolve().parents[3] / "ci"
# Helm, but for what would change the cluster: that is noted.
HELM = """#!/bin/sh
for word in "$@"; do
  if [ "$word" = rollback ]; then
    echo "$*" >"$NOTED"
    exit
  fi
done
exec {helm} "$@"
"""
# kubectl, but for the Deployment: the server has none.
KUBECTL = """#!/bin/sh
case "$*" in
  *deployments*) echo registry.example.org/exchange:now ;;
  *) exec {kubectl} "$@" ;;
esac
"""
WHEN = "2026-01-01T00:00:00Z"

# Revision, tag, status, what Helm says of it.
Revision = tuple[int, str, str, str]
FIRST, DONE = "Install complete", "Upgrade complete"


def secret(revision: Revision) -> dict[str, Any]:
    """Return a revision as Helm records it."""
    number, tag, status, said = revision
    times = {"first_deployed": WHEN, "last_deployed": WHEN, "deleted": ""}
    content = {
        "name": "exchange",
        "namespace": "exchange",
        "version": number,
        "info": {**times, "status": status, "description": said},
        "chart": {"metadata": {"name": "exchange", "version": "0.1.0", "apiVersion": "v2"}},
        "config": {"image": {"digest": "", "pullSecrets": [], "tag": tag}, "web": {"tag": "none"}},
    }
    labels = {"owner": "helm", "name": "exchange", "status": status, "version": str(number)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": f"sh.helm.release.v1.exchange.v{number}", "namespace": "exchange", "labels": labels},
        "data": {"release": encode(content)},
    }


def script(folder: Path, history: list[Revision], *words: str) -> tuple[int, str, str]:
    """Run a script; return its exit code, its last line, and how it asked Helm to roll back, if it did."""
    kubectl = shutil.which("kubectl") or str(gobuild.build(gobuild.programs()["kubernetes"]) / "kubectl")
    for name, text in (("helm", HELM.format(helm=helm())), ("kubectl", KUBECTL.format(kubectl=kubectl))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    with serving([secret(revision) for revision in history]) as address:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig(folder, address)),
            "NOTED": str(folder / "noted"),
            "HELM": str(folder / "helm"),
            "KUBECTL": str(folder / "kubectl"),
        }
        result = subprocess.run(
            [str(SCRIPTS / words[0]), *words[1:]],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    noted = folder / "noted"
    lines = result.stdout.strip().splitlines()
    return result.returncode, lines[-1] if lines else "", noted.read_text() if noted.exists() else ""


def went_back_to(folder: Path, history: list[Revision], *arguments: str) -> str:
    """Return the revision that rollback.sh goes back to; empty if it refuses."""
    code, last, noted = script(folder, history, "rollback.sh", *arguments)
    assert (code == 0) == bool(noted), last
    if not noted:
        assert "there is nothing to go back to" in last
        return ""
    words = noted.split()
    return words[words.index("rollback") + 2]


HISTORIES: dict[str, tuple[list[Revision], str]] = {
    "the one before": ([(1, "a", "superseded", FIRST), (2, "b", "deployed", DONE)], "1"),
    "nothing before": ([(1, "a", "deployed", FIRST)], ""),
    "only another setting before": ([(1, "a", "superseded", FIRST), (2, "a", "deployed", DONE)], ""),
    "a repeated job, or a changed setting": (
        [(3, "a", "superseded", DONE), (4, "b", "superseded", DONE), (5, "b", "deployed", DONE)],
        "3",
    ),
    "two digits come after one": (
        [(8, "a", "superseded", DONE), (9, "b", "superseded", DONE), (10, "c", "deployed", DONE)],
        "9",
    ),
    "a rollout that failed was never in service": (
        [(1, "a", "superseded", DONE), (2, "b", "failed", "Upgrade failed: x"), (3, "c", "deployed", DONE)],
        "1",
    ),
    "b failed its smoke test": (
        [
            (1, "z", "superseded", DONE),
            (2, "a", "superseded", DONE),
            (3, "b", "superseded", DONE),
            (4, "a", "deployed", "Rollback to 2"),
        ],
        "1",
    ),
    "b failed its smoke test, and c came after that": (
        [
            (2, "a", "superseded", DONE),
            (3, "b", "superseded", DONE),
            (4, "a", "superseded", "Rollback to 2"),
            (5, "c", "deployed", DONE),
        ],
        "4",
    ),
    "once more goes further back": (
        [
            (1, "a", "superseded", DONE),
            (2, "b", "superseded", DONE),
            (3, "c", "superseded", DONE),
            (4, "b", "deployed", "Rollback to 2"),
        ],
        "1",
    ),
    "c was given up for a revision that Helm has forgotten by now": (
        [(7, "c", "superseded", DONE), (8, "a", "deployed", "Rollback to 2")],
        "",
    ),
}


@pytest.mark.parametrize("what", HISTORIES)
def test_the_version_before(tmp_path: Path, what: str) -> None:
    history, revision = HISTORIES[what]
    assert went_back_to(tmp_path, history) == revision


def test_a_revision_can_be_named(tmp_path: Path) -> None:
    history, _ = HISTORIES["two digits come after one"]
    assert went_back_to(tmp_path, history, "8") == "8"


@pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback"])
def test_while_somebody_else_is_at_work_nothing_is_deployed_and_nothing_rolled_back(
    tmp_path: Path, status: str
) -> None:
    history = [(1, "a", "deployed", FIRST), (2, "b", status, "Preparing upgrade")]
    code, last, noted = script(tmp_path, history, "release.sh", "c")
    assert (code, noted) == (1, "")
    assert last.startswith("FAILED: c was not deployed: ")
    assert "another operation" in last
    assert last.endswith("Nothing was changed.")


def test_without_a_release_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    code, last, noted = script(tmp_path, [], "release.sh", "c")
    assert (code, noted) == (1, "")
    assert last.endswith("install it with site.yml")
