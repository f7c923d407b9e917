"""Prometheus' configuration and all of its rules, as the role renders them: promtool takes them.

Of an existing Prometheus just what it is given: around it a configuration as somebody may have.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboard_queries import asked
from unit.dashboards.metrics import named
from unit.rules.test_rules import FILES, PROJECT, promtool
from unit.templates.render import render, sets


def files(chosen: str, name: str) -> dict[str, str]:
    """Return what a ConfigMap of the role holds."""
    (found,) = [
        item["data"]
        for item in render("monitoring", chosen).objects
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == name
    ]
    return dict(found)


SETS = list(sets("monitoring"))
OWN = [chosen for chosen in SETS if not chosen.startswith("existing")]
EXISTING = [chosen for chosen in SETS if chosen not in OWN]
THEIRS = """
scrape_config_files: [scrape-configs.yml]
scrape_configs:
  - job_name: pods
  - job_name: kubelet
"""


# What other Prometheus collect as well, as docs/monitoring.md writes it.
SHARED = ("kube_", "kubelet_", "container_", "node_", "apiserver_", "coredns_")
SHARED_NAME = re.compile(rf"`((?:{'|'.join(SHARED)})\w+)`")


def named_in(file: Path) -> set[str]:
    """Return the metrics that the rules of a file name."""
    groups = yaml.safe_load(file.read_text())["groups"]
    return {name for group in groups for rule in group["rules"] for name in named(rule["expr"])}


def jobs(chosen: str) -> list[dict[str, Any]]:
    """Return what is collected."""
    found: list[dict[str, Any]] = yaml.safe_load(files(chosen, "prometheus")["scrape-configs.yml"])["scrape_configs"]
    return found


def label(job: dict[str, Any]) -> str:
    """Return the label `job` of what a job collects."""
    (found,) = [one["replacement"] for one in job["relabel_configs"] if one.get("target_label") == "job"]
    return str(found)


@pytest.mark.parametrize("chosen", SETS)
def test_promtool_takes_the_configuration(chosen: str, tmp_path: Path) -> None:
    """By its syntax alone it doesn't look into other files; but each of them is a configuration itself."""
    given = {name: content for name, content in files(chosen, "prometheus").items() if name.endswith(".yml")}
    assert ("prometheus.yml" in given) is (chosen in OWN)
    for name, content in given.items():
        (tmp_path / name).write_text(content)
        promtool("check", "config", "--syntax-only", "--lint-fatal", tmp_path / name)


def included(scrape_configs: str, folder: Path) -> Path:
    """Write a configuration that takes in a scrape configuration."""
    (folder / "scrape-configs.yml").write_text(scrape_configs)
    (folder / "prometheus.yml").write_text(THEIRS)
    return folder / "prometheus.yml"


def test_promtool_takes_it_beside_another_configuration(tmp_path: Path) -> None:
    """Of the sets it is the one that names no file of a pod's."""
    given = files("existing", "prometheus")["scrape-configs.yml"]
    promtool("check", "config", "--lint-fatal", included(given, tmp_path))


def test_promtool_would_find_what_is_wrong_with_it(tmp_path: Path) -> None:
    given = files("existing", "prometheus")["scrape-configs.yml"].replace("metrics_path:", "metrics_paths:")
    with pytest.raises(AssertionError, match="field metrics_paths not found"):
        promtool("check", "config", "--lint-fatal", included(given, tmp_path))


@pytest.mark.parametrize("chosen", EXISTING)
def test_the_list_alone_is_what_an_operator_takes(chosen: str) -> None:
    """docs/monitoring.md cuts off the first lines, up to scrape_configs."""
    head, _, rest = files(chosen, "prometheus")["scrape-configs.yml"].partition("scrape_configs:\n")
    assert all(line.startswith("#") for line in head.splitlines())
    assert yaml.safe_load(rest) == jobs(chosen)


@pytest.mark.parametrize("chosen", SETS)
def test_jobs_are_told_apart_from_others_and_labelled_as_ours(chosen: str) -> None:
    instance = render("monitoring", chosen).variables["platform_instance"]
    assert [job["job_name"] for job in jobs(chosen)] == [f"{instance}-{label(job)}" for job in jobs(chosen)]


def test_alerts_on_targets_are_about_each_job_that_there_may_be() -> None:
    rules = yaml.safe_load(files("default", "prometheus-rules")["targets.yml"])["groups"][0]["rules"]
    labels = {label(job) for chosen in SETS for job in jobs(chosen)}
    for rule in rules:
        (named,) = re.findall(r'up\{job=~"([^"]*)"', rule["expr"])
        assert set(named.split("|")) == labels, rule["alert"]


def test_the_documentation_lists_what_must_not_be_dropped() -> None:
    """Of sources that an existing Prometheus usually collects by itself."""
    rules = {name for file in FILES for name in named_in(file) if name.startswith(SHARED)}
    boards = {name for one in asked() if one.source == "prometheus" for name in named(one.expr)}
    page = (PROJECT / "docs" / "monitoring.md").read_text()
    for_rules, for_boards = page.partition("| for rules |")[2].split("| **for dashboards besides** |")
    assert set(SHARED_NAME.findall(for_rules)) == rules
    assert set(SHARED_NAME.findall(for_boards)) == {name for name in boards - rules if name.startswith(SHARED)}


@pytest.mark.parametrize("chosen", EXISTING)
def test_an_existing_prometheus_is_not_told_to_watch_itself(chosen: str) -> None:
    given = files(chosen, "prometheus-rules")
    assert {"targets.yml", "probes.yml", "workloads.yml"} <= set(given)
    assert "monitoring.yml" not in given


@pytest.mark.parametrize("chosen", sets("monitoring"))
def test_promtool_takes_all_rules_together(chosen: str, tmp_path: Path) -> None:
    for name, content in files(chosen, "prometheus-rules").items():
        (tmp_path / name).write_text(content)
    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.glob("*.yml")))


def test_rules_of_all_roles_are_among_them() -> None:
    assert {file.name for file in FILES} | {"objectives.yml"} == files("default", "prometheus-rules").keys()
