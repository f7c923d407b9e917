"""Which revision is gone back to, and when. Helm itself reads the histories, from a server that answers as the API."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.helm_release import encode
from cluster import gobuild
from unit.charts.test_exchange import helm
from unit.ci.api import kubeconfig, serving
from unit.ci.test_explain import PULLING, pod

SCRIPTS = Path(__file__).resolve().parents[3] / "ci"
# Helm, but for what would change the cluster: a rollback is noted, and an upgrade is what a test says.
HELM = """#!/bin/sh
for word in "$@"; do
  case $word in
    rollback)
      echo "$*" >"$NOTED"
      exit "$ROLLBACK_CODE"
      ;;
    upgrade)
      :
      {upgrade}
      ;;
  esac
done
exec {helm} "$@"
"""
# What Helm does first: it records that a revision is pending.
POST = 'curl --fail --silent --output /dev/null --data-binary @- "$SERVER/api/v1/namespaces/exchange/secrets"'
BEGIN = f'{POST} <"$NEWER"'
# What somebody else does after that.
BEGIN_TOO = f"""sed 's/exchange.v2/exchange.v3/; s/"version": "2"/"version": "3"/' "$NEWER" | {POST}"""
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


def secret(revision: Revision, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a revision as Helm records it, with settings beside its image."""
    number, tag, status, said = revision
    times = {"first_deployed": WHEN, "last_deployed": WHEN, "deleted": ""}
    content = {
        "name": "exchange",
        "namespace": "exchange",
        "version": number,
        "info": {**times, "status": status, "description": said},
        "chart": {"metadata": {"name": "exchange", "version": "0.1.0", "apiVersion": "v2"}},
        "config": {
            "image": {"digest": "", "pullSecrets": ["x"], "repository": "registry.example.org/exchange", "tag": tag},
            "web": {"tag": "none"},
            **(settings or {}),
        },
    }
    labels = {"owner": "helm", "name": "exchange", "status": status, "version": str(number)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": f"sh.helm.release.v1.exchange.v{number}", "namespace": "exchange", "labels": labels},
        "data": {"release": encode(content)},
    }


@dataclass
class Ran:
    """What a script said last, and how it asked Helm to roll back, if it did."""

    code: int
    output: str
    last: str
    noted: str


@contextmanager
def started(
    folder: Path, history: list[Revision], *words: str, upgrade: str = "", objects: Sequence[dict[str, Any]] = (),
    **variables: str,
) -> Iterator[subprocess.Popen[str]]:  # fmt: skip
    """Start a script.

    Args:
        folder: for its files. The API refuses the token as soon as a file `refused` is there.
        history: Helm's revisions.
        words: the script and its arguments.
        upgrade: shell commands for which `helm upgrade` stands; empty: Helm itself.
        objects: what is there beside the revisions.
        variables: of its environment.
    """
    kubectl = shutil.which("kubectl") or str(gobuild.build(gobuild.programs()["kubernetes"]) / "kubectl")
    for name, text in (
        ("helm", HELM.format(helm=helm(), upgrade=upgrade)),
        ("kubectl", KUBECTL.format(kubectl=kubectl)),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    newest = max((number for number, *_ in history), default=0)
    (folder / "newer").write_text(json.dumps(secret((newest + 1, "c", "pending-upgrade", "Preparing upgrade"))))
    revisions = [secret(revision) for revision in history]
    with serving([*revisions, *objects], refusing=(folder / "refused").exists) as address:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig(folder, address)),
            "NOTED": str(folder / "noted"),
            "ROLLBACK_CODE": "0",
            "SERVER": address,
            "NEWER": str(folder / "newer"),
            "REFUSED": str(folder / "refused"),
            "BEGUN": str(folder / "begun"),
            "HELM": str(folder / "helm"),
            "KUBECTL": str(folder / "kubectl"),
            "SMOKE": "none",
            **variables,
        }
        with subprocess.Popen(
            [str(SCRIPTS / words[0]), *words[1:]],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            yield process


def ended(folder: Path, process: subprocess.Popen[str]) -> Ran:
    """Wait for a script, and return what came of it."""
    try:
        output, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    noted = folder / "noted"
    lines = output.strip().splitlines()
    return Ran(
        process.returncode, output, lines[-1].strip() if lines else "", noted.read_text() if noted.exists() else ""
    )


def script(folder: Path, history: list[Revision], *words: str, **options: Any) -> Ran:
    """Run a script; return what came of it."""
    with started(folder, history, *words, **options) as process:
        return ended(folder, process)


def went_back_to(folder: Path, history: list[Revision], *arguments: str) -> str:
    """Return the revision that rollback.sh goes back to; empty if it refuses."""
    ran = script(folder, history, "rollback.sh", *arguments)
    assert (ran.code == 0) == bool(ran.noted), ran.output
    if not ran.noted:
        assert "there is nothing to go back to" in ran.last
        return ""
    words = ran.noted.split()
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


@pytest.mark.parametrize("what", ["an argument", "a variable of the job"])
def test_settings_go_back_only_if_the_revision_is_named(tmp_path: Path, what: str) -> None:
    now: Revision = (2, "b", "deployed", DONE)
    changed = secret(now, {"web": {"tag": "none", "replicas": 3}, "hosts": ["a.example.org"]})
    ran = script(tmp_path, [(1, "a", "superseded", FIRST)], "rollback.sh", objects=[changed])
    assert (ran.code, ran.noted) == (1, "")
    assert "revision 1 has other settings as well (hosts web)" in ran.last
    arguments, variables = (["1"], {}) if what == "an argument" else ([], {"REVISION": "1"})
    ran = script(tmp_path, [(1, "a", "superseded", FIRST)], "rollback.sh", *arguments, objects=[changed], **variables)
    assert ran.code == 0
    assert "rollback exchange 1 " in ran.noted
    assert "with it these settings: hosts web" in ran.output


def test_a_way_back_that_fails_says_why(tmp_path: Path) -> None:
    broken = pod("exchange-web-old", phase="Pending", web=PULLING)
    history, _ = HISTORIES["the one before"]
    ran = script(tmp_path, history, "rollback.sh", objects=[broken], ROLLBACK_CODE="1")
    assert ran.code == 1
    assert ran.last == (
        "FAILED: revision 1 was not brought back: exchange-web-old: ImagePullBackOff Back-off pulling image"
    )


@pytest.mark.parametrize("words", [["release.sh", "c"], ["rollback.sh"]])
def test_a_token_that_has_ended_is_not_taken_for_a_release_that_is_not_there(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "refused").touch()
    ran = script(tmp_path, HISTORIES["the one before"][0], *words)
    assert (ran.code, ran.noted) == (1, "")
    assert ran.last.startswith("FAILED: no answer about the release exchange in the namespace exchange: ")
    assert "You must be logged in to the server" in ran.last
    assert ran.last.endswith("Nothing was changed.")


@pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback"])
def test_while_somebody_else_is_at_work_nothing_is_deployed_and_nothing_rolled_back(
    tmp_path: Path, status: str
) -> None:
    history = [(1, "a", "deployed", FIRST), (2, "b", status, "Preparing upgrade")]
    ran = script(tmp_path, history, "release.sh", "c")
    assert (ran.code, ran.noted) == (1, "")
    assert ran.last.startswith("FAILED: c was not deployed: ")
    assert "another operation" in ran.last
    assert ran.last.endswith("Nothing was changed.")


def test_while_somebody_else_is_at_work_nothing_is_rolled_back_unless_the_revision_is_named(tmp_path: Path) -> None:
    history = [(1, "a", "superseded", FIRST), (2, "b", "deployed", DONE), (3, "b", "pending-upgrade", "Preparing")]
    ran = script(tmp_path, history, "rollback.sh")
    assert (ran.code, ran.noted) == (1, "")
    assert ran.last.startswith("FAILED: somebody else is at work on the release (revision 3), or was interrupted")
    assert ran.last.endswith("(2 is in service). Nothing was changed.")
    ran = script(tmp_path, history, "rollback.sh", "2")
    assert (ran.code, "rollback exchange 2 " in ran.noted) == (0, True)


SOMEBODY = "echo 'Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress'; exit 1"
# What becomes of an upgrade that has begun -> the last line, and whether it is gone back.
BROKEN = {
    "Helm is killed": ("kill -9 $$", "c was not brought into service (Helm was interrupted). ", True),
    "the cluster is lost": ('touch "$REFUSED"; exit 1', "What was changed is not known: ", False),
    "somebody else has begun": (SOMEBODY, "Nothing was changed.", False),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_an_upgrade_leaves_behind_that_did_not_end(tmp_path: Path, what: str) -> None:
    end, said, back = BROKEN[what]
    ran = script(tmp_path, [(1, "a", "deployed", FIRST)], "release.sh", "c", upgrade=f"{BEGIN}; {end}")
    assert ran.code == 1
    assert ran.last.startswith("FAILED: ")
    assert said in ran.last
    assert ("rollback exchange 1 --wait" in ran.noted) == back
    assert ran.last.endswith("registry.example.org/exchange:a serves.") == back


@pytest.mark.parametrize("begin", [BEGIN, ":"])
def test_a_job_that_is_stopped_goes_back_at_once_and_does_not_wait_for_it(tmp_path: Path, begin: str) -> None:
    hangs = f'{begin}; touch "$BEGUN"; exec sleep 600'
    with started(tmp_path, [(1, "a", "deployed", FIRST)], "release.sh", "c", upgrade=hangs) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        ran = ended(tmp_path, process)
    assert ran.code == 1
    if begin == BEGIN:
        assert ran.noted.strip().endswith("rollback exchange 1")
        assert ran.last == (
            "FAILED: the job was stopped. It goes back to registry.example.org/exchange:a, which was not waited for."
        )
    else:
        assert (ran.noted, ran.last) == ("", "FAILED: the job was stopped. Nothing was changed.")


def test_nothing_is_deployed_that_nobody_would_try(tmp_path: Path) -> None:
    ran = script(tmp_path, [(1, "a", "deployed", FIRST)], "release.sh", "c", upgrade=BEGIN, SMOKE="")
    assert (ran.code, ran.noted) == (1, "")
    assert ran.last.startswith("FAILED: URL is empty")
    assert "Migrate and roll out" not in ran.output


def test_a_version_that_fails_the_smoke_test_is_given_up(tmp_path: Path) -> None:
    nobody = {"SMOKE": "", "URL": "http://127.0.0.1:1"}
    ran = script(tmp_path, [(1, "a", "deployed", FIRST)], "release.sh", "c", upgrade=f"{BEGIN}; exit 0", **nobody)
    assert (ran.code, "rollback exchange 1 --wait" in ran.noted) == (1, True)
    assert ran.last == (
        "FAILED: c: smoke test: http://127.0.0.1:1/accounts/login/ gives no good answer."
        " registry.example.org/exchange:a serves."
    )


def test_a_version_is_not_taken_back_while_somebody_else_is_at_work(tmp_path: Path) -> None:
    nobody = {"SMOKE": "", "URL": "http://127.0.0.1:1"}
    both = f"{BEGIN}; {BEGIN_TOO}; exit 0"
    ran = script(tmp_path, [(1, "a", "deployed", FIRST)], "release.sh", "c", upgrade=both, **nobody)
    assert (ran.code, ran.noted) == (1, "")
    assert "It was not taken back, since somebody else is at work on the release" in ran.last
    assert ran.last.endswith("rollback exchange 1")


def test_what_serves_is_named_after_helm_s_record_and_not_after_a_deployment_that_failed(tmp_path: Path) -> None:
    history = [(1, "a", "deployed", FIRST), (2, "b", "failed", "Upgrade failed: x")]
    ran = script(tmp_path, history, "release.sh", "c", upgrade=f"{BEGIN}; exit 0")
    assert "(now: registry.example.org/exchange:a, revision 1)" in ran.output


def test_the_chart_s_hash_goes_along(tmp_path: Path) -> None:
    noting = f'echo "$*" >"$BEGUN"; {BEGIN}; exit 0'
    assert script(tmp_path, [(1, "a", "deployed", FIRST)], "release.sh", "c", upgrade=noting).code == 0
    assert re.search(r"image\.digest=,bookkeeping\.chartChecksum=[0-9a-f]{64}$", (tmp_path / "begun").read_text())


def test_which_chart_it_was_is_no_setting(tmp_path: Path) -> None:
    changed = secret((2, "b", "deployed", DONE), {"bookkeeping": {"chartChecksum": "x"}})
    ran = script(tmp_path, [(1, "a", "superseded", FIRST)], "rollback.sh", objects=[changed])
    assert ran.code == 0, ran.output


@pytest.mark.parametrize("words", [["release.sh", "c"], ["rollback.sh"]])
def test_helm_4_is_refused_as_site_yml_does(tmp_path: Path, words: list[str]) -> None:
    other = tmp_path / "helm4"
    other.write_text("#!/bin/sh\necho v4.2.0\n")
    other.chmod(0o755)
    ran = script(tmp_path, HISTORIES["the one before"][0], *words, HELM=str(other))
    assert (ran.code, ran.last) == (1, "FAILED: Helm is v4.2.0: expected version 3. Nothing was changed.")


def test_a_version_that_is_not_to_be_tried_is_said_to_be_untried(tmp_path: Path) -> None:
    ran = script(tmp_path, [(1, "a", "deployed", FIRST)], "release.sh", "c", upgrade=f"{BEGIN}; exit 0")
    assert (ran.code, ran.noted) == (0, "")
    assert ran.last == "NOT TRIED: SMOKE is none"


@pytest.mark.parametrize("words", [["release.sh", "c"], ["rollback.sh"]])
def test_without_a_release_there_is_nothing_to_do(tmp_path: Path, words: list[str]) -> None:
    ran = script(tmp_path, [], *words)
    assert (ran.code, ran.noted) == (1, "")
    assert ran.last.startswith("FAILED: there is no release exchange ")
    assert ran.last.endswith("install it with site.yml")
