"""Alert rules of all roles: promtool takes them, each is seen to fire and not to, and leads to a page that exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import slo
from cluster import gobuild
from unit.test_repository import anchors

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
# Where whoever installs Prometheus finds the rules of every role; a test of the same name lies below this folder.
FILES = sorted(PROJECT.glob("roles/*/files/rules/*.yml"))
SEVERITIES = {"critical", "warning", "info"}
# It says that alerts arrive at all.
ALWAYS = {("Watchdog", False)}
DASHBOARDS = {path.stem for path in (PROJECT / "roles" / "grafana" / "files" / "dashboards").glob("*.json")}
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
    program = gobuild.build(gobuild.programs()["prometheus"]) / "promtool"
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_found() -> None:
    assert {"postgres_backup/backup.yml", "monitoring/workloads.yml"} <= {named(file) for file in FILES}
    # Prometheus gets them in one folder.
    assert len({file.name for file in FILES}) == len(FILES)


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
    assert seen == {(rule["alert"], fires) for rule in alerts(file) for fires in (True, False)} - ALWAYS


@pytest.mark.parametrize("file", FILES, ids=named)
def test_each_says_how_bad_it_is_with_numbers_and_where_to_read_on(file: Path) -> None:
    tell_all(alerts(file))


def tell_all(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        assert rule["labels"]["severity"] in SEVERITIES, rule["alert"]
        assert rule["labels"]["dashboard"] in DASHBOARDS, rule["alert"]
        assert NUMBER.search(rule["annotations"]["summary"]), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page.startswith("docs/runbooks/"), rule["alert"]
        assert anchor in anchors((PROJECT / page).read_text()), rule["alert"]


def test_objectives_of_the_application_fire_when_they_should(tmp_path: Path) -> None:
    """Made of the default objectives, as the role makes them."""
    variables = yaml.safe_load((PROJECT / "roles" / "monitoring" / "vars" / "main.yml").read_text())
    objectives = [
        {
            key: value.replace("{{ platform_namespace_app }}", "exchange") if isinstance(value, str) else value
            for key, value in one.items()
        }
        for one in variables["__monitoring_app_slos"]
    ]
    assert [slo.errors(one) for one in objectives] == [{}, {}]
    made = slo.rules(objectives)
    (tmp_path / "objectives.yml").write_text(yaml.safe_dump(made))
    shutil.copy(HERE / "monitoring" / "objectives.yml", tmp_path / "test.yml")
    promtool("check", "rules", "--lint-fatal", tmp_path / "objectives.yml")
    promtool("test", "rules", tmp_path / "test.yml")
    rules = [rule for group in made["groups"] for rule in group["rules"] if "alert" in rule]
    tell_all(rules)
    cases = [
        case
        for test in yaml.safe_load((tmp_path / "test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    fired = {
        (alert["exp_labels"]["slo"], alert["exp_labels"]["window"]) for case in cases for alert in case["exp_alerts"]
    }
    assert fired == {(rule["labels"]["slo"], rule["labels"]["window"]) for rule in rules}
    assert any(not case["exp_alerts"] for case in cases)
