"""The objects of a drill's writers: valid, as closed as everything else of ours, and where they shall be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_writer import LABELS, Writer, manifests
from unit.templates import checks

PROJECT = Path(__file__).resolve().parents[4]
SUPPORTED = yaml.safe_load((PROJECT / "roles" / "platform" / "vars" / "main.yml").read_text())
LOGIN = {"username": "exchange_a", "password": "kept-secret", "database": "exchange", "ca.crt": "PEM"}
MEMBER = {"containers": [{"image": "registry/postgres:17"}], "imagePullSecrets": [{"name": "pull"}]}
WRITERS = [
    Writer("main", "10.96.0.10", not_node="worker", checks=True),
    Writer("beside", "10.244.1.5", node="worker"),
    Writer("free", "10.96.0.10"),
]


def objects() -> list[dict[str, Any]]:
    secret, policy, jobs = manifests(WRITERS, "print()", LOGIN, MEMBER, "exchange-database")
    return [secret, policy, *jobs]


def environment(job: dict[str, Any]) -> dict[str, str]:
    container = job["spec"]["template"]["spec"]["containers"][0]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_objects_are_valid(end: str) -> None:
    for item in objects():
        kubernetes_validate.validate(item, SUPPORTED[f"platform_kubernetes_{end}"], strict=True)


@pytest.mark.parametrize(
    "check", [checks.pod_security, checks.container_security, checks.resources, checks.service_account_tokens]
)
def test_writers_are_as_closed_as_everything_else(check: checks.Check) -> None:
    assert check(objects()) == []


def test_the_password_is_in_the_secret_alone() -> None:
    secret, *others = objects()
    assert secret["stringData"]["password"] == "kept-secret"  # noqa: S105  # a made-up one
    assert "kept-secret" not in str(others)


def test_everything_can_be_found_by_its_labels_to_be_removed() -> None:
    for item in objects():
        assert LABELS.items() <= item["metadata"]["labels"].items()
    for job in objects()[2:]:
        assert LABELS.items() <= job["spec"]["template"]["metadata"]["labels"].items()
        assert job["spec"]["activeDeadlineSeconds"] > 0
        assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_writers_verify_the_name_and_look_none_up() -> None:
    for job, writer in zip(objects()[2:], WRITERS, strict=True):
        values = environment(job)
        assert values["PGHOSTADDR"] == writer.address
        assert values["PGSSLMODE"] == "verify-full"
        assert values["PGTARGETSESSIONATTRS"] == "read-write"
        assert values["WRITER_CHECK"] == ("yes" if writer.checks else "no")


def test_their_image_is_pulled_as_the_members_is() -> None:
    for job in objects()[2:]:
        spec = job["spec"]["template"]["spec"]
        assert spec["containers"][0]["image"] == "registry/postgres:17"
        assert spec["imagePullSecrets"] == [{"name": "pull"}]


def test_where_writers_run() -> None:
    placed = [job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"] for job in objects()[2:]]
    terms = [
        [(term["operator"], term["values"]) for term in one["requiredDuringSchedulingIgnoredDuringExecution"]
         ["nodeSelectorTerms"][0]["matchExpressions"]]
        for one in placed
        if one
    ]  # fmt: skip
    assert terms == [[("NotIn", ["worker"])], [("In", ["worker"])]]
    assert placed[2] == {}
