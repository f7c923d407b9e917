"""The deployer's Role: enough for whatever the chart makes, and nothing that would give more away."""

from __future__ import annotations

from typing import Any

import pytest
from unit.charts.test_exchange import NAMES, example, with_keda
from unit.templates.render import render

# What Helm does with an object of a chart over its life.
NEEDED = {"get", "list", "watch", "create", "patch"}
# API group and plural of a kind, where the plural isn't the kind in lower case and an s.
PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


def rules() -> list[dict[str, Any]]:
    [role] = [item for item in render("deployer", "default").objects if item["kind"] == "Role"]
    listed: list[dict[str, Any]] = role["rules"]
    return listed


def verbs(group: str, resource: str) -> set[str]:
    found = (rule["verbs"] for rule in rules() if group in rule["apiGroups"] and resource in rule["resources"])
    return {verb for listed in found for verb in listed}


def made_by_the_chart() -> set[tuple[str, str]]:
    objects = [*with_keda(), *(item for name in NAMES for item in example(name))]
    return {
        (
            item["apiVersion"].rpartition("/")[0],
            PLURALS.get(item["kind"], item["kind"].lower() + "s"),
        )
        for item in objects
    }


@pytest.mark.parametrize(("group", "resource"), sorted(made_by_the_chart()))
def test_it_may_deploy_every_kind_that_the_chart_makes(group: str, resource: str) -> None:
    assert verbs(group, resource) >= NEEDED


def test_beyond_the_chart_it_may_only_look_and_keep_helm_s_records() -> None:
    others = {
        (group, resource): set(rule["verbs"])
        for rule in rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if (group, resource) not in made_by_the_chart()
    }
    records = others.pop(("", "secrets"))
    assert records == {"get", "list", "create", "update", "delete"}
    assert {verb for listed in others.values() for verb in listed} <= {"get", "list", "watch"}


def test_it_can_not_give_itself_more_nor_step_into_a_pod() -> None:
    everything = {
        (group, resource, verb)
        for rule in rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert not [one for one in everything if "*" in one]
    assert not [one for one in everything if one[0] == "rbac.authorization.k8s.io"]
    names = {resource for _, resource, _ in everything}
    assert not names & {"pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "namespaces", "nodes"}
    assert verbs("", "pods") == {"get", "list", "watch"}


def test_it_can_not_remove_what_was_uploaded() -> None:
    assert "delete" not in verbs("", "persistentvolumeclaims")


def test_all_of_it_is_in_the_application_s_namespace() -> None:
    objects = render("deployer", "maximal").objects
    assert [item["kind"] for item in objects] == ["ServiceAccount", "Role", "RoleBinding"]
    assert {item["metadata"]["namespace"] for item in objects} == {"second"}
    [binding] = [item for item in objects if item["kind"] == "RoleBinding"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "ci", "namespace": "second"}]
