"""Which revision the version before is. Helm itself reads the histories, from a server that answers as the API does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.helm_release import encode
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
KUBECTL = "#!/bin/sh\necho registry.example.org/exchange:now\n"
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


def went_back_to(folder: Path, history: list[Revision], *arguments: str) -> str:
    """Return the revision that the script goes back to; empty if it refuses."""
    for name, text in (("helm", HELM.format(helm=helm())), ("kubectl", KUBECTL)):
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
            [str(SCRIPTS / "rollback.sh"), *arguments], env=environment, capture_output=True, text=True, check=False
        )
    noted = folder / "noted"
    assert (result.returncode == 0) == noted.exists(), result.stdout + result.stderr
    if not noted.exists():
        assert "there is nothing to go back to" in result.stdout, result.stdout + result.stderr
        return ""
    words = noted.read_text().split()
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
