"""Which revision the version before is, in histories as Helm prints them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "ci"
# Prints a history and values as Helm does, and notes what it is asked to do.
HELM = """#!/bin/sh
while [ "$1" = --namespace ]; do shift 2; done
case "$1" in
  history) cat "$FAKE/history" ;;
  get) cat "$FAKE/values-$5" ;;
  rollback) echo "$3" >"$FAKE/rollback" ;;
esac
"""
KUBECTL = "#!/bin/sh\necho registry.example.org/exchange:now\n"

# Revision, tag, status, what Helm says of it.
Revision = tuple[int, str, str, str]
DONE = "Upgrade complete"


def went_back_to(folder: Path, history: list[Revision]) -> str:
    """Return the revision that the script goes back to; empty if it refuses."""
    lines = ["REVISION\tUPDATED                 \tSTATUS    \tCHART         \tAPP VERSION\tDESCRIPTION     "]
    for number, tag, status, said in history:
        lines.append(f"{number:<8}\tThu Nov 26 10:00:00 2026\t{status:<10}\texchange-0.1.0\t           \t{said:<16}")
        values = f'{{"image":{{"digest":"","pullSecrets":[],"tag":"{tag}"}},"web":{{"tag":"none"}}}}'
        (folder / f"values-{number}").write_text(values)
    (folder / "history").write_text("\n".join(lines) + "\n")
    for name, text in (("helm", HELM), ("kubectl", KUBECTL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {**os.environ, "FAKE": str(folder), "HELM": str(folder / "helm"), "KUBECTL": str(folder / "kubectl")}
    result = subprocess.run(
        [str(SCRIPTS / "rollback.sh")], env=environment, capture_output=True, text=True, check=False
    )
    done = folder / "rollback"
    assert (result.returncode == 0) == done.exists(), result.stdout + result.stderr
    return done.read_text().strip() if done.exists() else ""


@pytest.mark.parametrize(
    ("history", "revision"),
    [
        ([(1, "a", "superseded", "Install complete"), (2, "b", "deployed", DONE)], "1"),
        # Nothing before.
        ([(1, "a", "deployed", "Install complete")], ""),
        ([(1, "a", "superseded", "Install complete"), (2, "a", "deployed", DONE)], ""),
        # A repeated job, or a changed setting.
        ([(3, "a", "superseded", DONE), (4, "b", "superseded", DONE), (5, "b", "deployed", DONE)], "3"),
        # Two digits sort after one.
        ([(8, "a", "superseded", DONE), (9, "b", "superseded", DONE), (10, "c", "deployed", DONE)], "9"),
        # A rollout that failed was never in service.
        ([(1, "a", "superseded", DONE), (2, "b", "failed", "Upgrade failed: x"), (3, "c", "deployed", DONE)], "1"),
        # b failed its smoke test.
        (
            [
                (1, "z", "superseded", DONE),
                (2, "a", "superseded", DONE),
                (3, "b", "superseded", DONE),
                (4, "a", "deployed", "Rollback to 2"),
            ],
            "1",
        ),
        # b failed its smoke test, and c came after that.
        (
            [
                (2, "a", "superseded", DONE),
                (3, "b", "superseded", DONE),
                (4, "a", "superseded", "Rollback to 2"),
                (5, "c", "deployed", DONE),
            ],
            "4",
        ),
        # The button was pressed before: once more goes further back.
        (
            [
                (1, "a", "superseded", DONE),
                (2, "b", "superseded", DONE),
                (3, "c", "superseded", DONE),
                (4, "b", "deployed", "Rollback to 2"),
            ],
            "1",
        ),
        # c was given up for a revision that Helm has forgotten by now.
        ([(7, "c", "superseded", DONE), (8, "a", "deployed", "Rollback to 2")], ""),
    ],
)
def test_the_version_before(tmp_path: Path, history: list[Revision], revision: str) -> None:
    assert went_back_to(tmp_path, history) == revision
