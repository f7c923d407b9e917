"""Alert rules of all roles: promtool takes them, each is seen to fire and not to, and leads to a page that exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import gobuild
from unit.test_repository import anchors

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
# Where whoever installs Prometheus finds the rules of every role; a test of the same name lies below this folder.
FILES = sorted(PROJECT.glob("roles/*/files/rules/*.yml"))
SEVERITIES = {"critical", "warning"}
NUMBER = re.compile(r"\{\{ \$value|[0-9]")


def test_of(file: Path) -> Path:
    """Return the file with promtool's tests of a rule file."""
    return HERE / file.parents[2].name / file.name


test_of.__test__ = False  # type: ignore[attr-defined]  # pytest would take its name for a test's


def named(file: Path) -> str:
    return f"{file.parents[2].name}/{file.name}"


def alerts(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"] if "alert" in rule]


def promtool(*words: str | Path) -> None:
    """Run promtool, built from its Go module unless the cache has it."""
    program = gobuild.build(gobuild.programs()["promtool"]) / "promtool"
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_found() -> None:
    assert "postgres_backup/backup.yml" in map(named, FILES)


@pytest.mark.parametrize("file", FILES, ids=named)
def test_promtool_takes_them(file: Path) -> None:
    promtool("check", "rules", "--lint-fatal", file)


@pytest.mark.parametrize("file", FILES, ids=named)
def test_they_fire_when_they_should(file: Path) -> None:
    promtool("test", "rules", test_of(file))


@pytest.mark.parametrize("file", FILES, ids=named)
def test_each_is_seen_to_fire_and_not_to(file: Path) -> None:
    content = yaml.safe_load(test_of(file).read_text())
    assert [(test_of(file).parent / name).resolve() for name in content["rule_files"]] == [file]
    cases = [case for test in content["tests"] for case in test["alert_rule_test"]]
    seen = {(case["alertname"], bool(case["exp_alerts"])) for case in cases}
    assert seen == {(rule["alert"], fires) for rule in alerts(file) for fires in (True, False)}


@pytest.mark.parametrize("file", FILES, ids=named)
def test_each_says_how_bad_it_is_with_numbers_and_where_to_read_on(file: Path) -> None:
    for rule in alerts(file):
        assert rule["labels"]["severity"] in SEVERITIES, rule["alert"]
        assert NUMBER.search(rule["annotations"]["summary"]), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page.startswith("docs/runbooks/"), rule["alert"]
        assert anchor in anchors((PROJECT / page).read_text()), rule["alert"]
