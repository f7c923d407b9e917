"""What playbooks/restore.yml and playbooks/migrate.yml make for the time of a run, rendered with sets of variables."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from unit.templates import checks
from unit.templates.render import ROLES, load, sets, variables_of
from unit.templates.test_templates import MINORS

ROLE = "postgres_backup"
JOBS: dict[str, dict[str, Any]] = {
    "streamed": {"name": "restore", "scratch": "", "args": ["restore", "--private-key=/key/key.txt"]},
    "in parallel": {"name": "restore", "scratch": "20Gi", "args": ["restore", "--scratch=/scratch", "--jobs=2"]},
    "secrets": {"name": "restore", "command": ["sleep", "600"]},
}
SOURCE = {
    "host": "db.example.com",
    "port": 6432,
    "database": "shop",
    "username": "shop",
    "password": "of-the-source",
    "sslmode": "verify-full",
    "ca": "-----BEGIN CERTIFICATE-----",
    "from": [{"cidr": "192.0.2.7/32"}, {"namespace": "legacy", "pod_labels": {"app": "shop"}}],
}
JOBS["moved"] = {"name": "restore", "args": ["copy", "--database=moved"]}
CASES = [(chosen, job) for chosen in ("default", "maximal") for job in JOBS] + [("maximal", "media")]


def rendered(chosen: str, job: str, **others: Any) -> list[dict[str, Any]]:
    """Return the Secret, the ServiceAccount and the Job, and of a move the NetworkPolicy; or those of media."""
    play = load(ROLES.parent / "playbooks" / "restore.yml")[1]
    variables = {
        **play["vars"],
        **variables_of(ROLE, sets(ROLE)[chosen]),
        "__postgres_backup_job": JOBS.get(job),
        "__postgres_backup_password": "of-the-moment",
        "__postgres_backup_from_bucket": job != "moved",
        **({"__postgres_backup_source": SOURCE} if job == "moved" else {}),
        **others,
    }
    templar = Templar(DataLoader(), variables=variables)
    names = ["secret", "serviceaccount", "job", *(["networkpolicy"] if job == "moved" else [])]
    if job == "media":
        names = [f"media_{name}" for name in names]
    folder = ROLES / ROLE / "templates" / "restore"
    texts = [(folder / f"{name}.yaml.j2").read_text() for name in names]
    return [yaml.safe_load(templar.template(trust_as_template(text))) for text in texts]


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize(("chosen", "job"), CASES)
def test_objects_are_valid(chosen: str, job: str, minor: str) -> None:
    for item in rendered(chosen, job):
        kubernetes_validate.validate(item, minor, strict=True)


@pytest.mark.parametrize("check", checks.ALL)
@pytest.mark.parametrize(("chosen", "job"), CASES)
def test_objects_pass(chosen: str, job: str, check: str) -> None:
    assert checks.ALL[check](rendered(chosen, job)) == []


def test_a_streamed_restore_has_no_volume_but_a_parallel_one_has() -> None:
    volumes = [
        {volume["name"] for volume in rendered("default", job)[2]["spec"]["template"]["spec"]["volumes"]}
        for job in ("streamed", "in parallel")
    ]
    assert volumes[1] - volumes[0] == {"scratch"}


@pytest.mark.parametrize("job", ["streamed", "media"])
@pytest.mark.parametrize(("named", "expected"), [("", "backup-near"), ("far", "backup-far")])
def test_it_is_read_from_the_target_that_is_named_or_else_from_the_first(job: str, named: str, expected: str) -> None:
    one = variables_of(ROLE, sets(ROLE)["maximal"])["postgres_backup_targets"][0]
    targets = [{**one, "name": name} for name in ("near", "far")]
    made = yaml.safe_dump(rendered("maximal", job, postgres_backup_targets=targets, restore_target=named))
    assert {name for name in ("backup-near", "backup-far") if f"name: {name}\n" in made} == {expected}


def test_credentials_are_those_that_read() -> None:
    secret, account, job = rendered("maximal", "streamed")
    assert "the-reader-s-secret" in secret["stringData"].values()
    assert "the-reader-s-secret" not in str((account, job))
    assert "AWS_ACCESS_KEY_ID" not in str(rendered("default", "streamed")[2])


def test_a_move_knows_its_source_and_no_bucket() -> None:
    secret, _, job, policy = rendered("maximal", "moved")
    environment = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environment["SOURCE_PGHOST"] == "db.example.com"
    assert environment["SOURCE_PGPORT"] == "6432"
    assert environment["SOURCE_PGSSLROOTCERT"] == "/key/source-ca.crt"
    assert not [name for name in environment if name.startswith("AWS_")]
    assert set(secret["stringData"]) == {"password", "source-password", "source-ca.crt"}
    assert [rule["ports"] for rule in policy["spec"]["egress"]] == [[{"protocol": "TCP", "port": 6432}]] * 2


def test_a_dump_needs_neither_a_source_nor_a_bucket() -> None:
    secret, _, job = rendered("maximal", "secrets", __postgres_backup_source={}, __postgres_backup_from_bucket=False)
    assert {name for name, value in secret["stringData"].items() if value} == {"password"}
    names = {one["name"] for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert not [name for name in names if name.startswith(("AWS_", "SOURCE_"))]
    volumes = {one["name"]: one for one in job["spec"]["template"]["spec"]["volumes"]}
    assert {item["key"] for item in volumes["key"]["secret"]["items"]} <= set(secret["stringData"])


def media_pod(chosen: str) -> list[dict[str, Any]]:
    """Return the pod that takes files into the application's volume."""
    variables = {**variables_of("exchange_app", sets("exchange_app")[chosen]), "migrate_deadline_seconds": 600}
    text = (ROLES / "exchange_app" / "templates" / "media" / "pod.yaml.j2").read_text()
    return [yaml.safe_load(Templar(DataLoader(), variables=variables).template(trust_as_template(text)))]


@pytest.mark.parametrize("chosen", ["default", "minimal", "maximal"])
def test_the_pod_that_takes_files_is_as_any_other(chosen: str) -> None:
    (pod,) = made = media_pod(chosen)
    for minor in MINORS:
        kubernetes_validate.validate(pod, minor, strict=True)
    assert {name: check(made) for name, check in checks.ALL.items() if check(made)} == {}


def test_files_go_where_the_application_has_them_as_its_user() -> None:
    seen = [
        (
            pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
            pod["spec"]["securityContext"]["runAsUser"],
            pod["spec"]["securityContext"]["fsGroup"],
        )
        for chosen in ("default", "maximal")
        for pod in media_pod(chosen)
    ]
    assert seen == [("exchange-media", 10001, 10001), ("uploads-of-old", 2000, 2001)]


def test_members_that_replicate_reach_the_source_and_nothing_else() -> None:
    members = {"app.kubernetes.io/component": "database"}
    policies = [
        rendered("maximal", "moved", **others)[3]
        for others in ({}, {"__postgres_backup_policy": {"name": "moving", "selector": members}})
    ]
    assert [one["metadata"]["name"] for one in policies] == ["restore", "moving"]
    assert policies[1]["spec"] == {**policies[0]["spec"], "podSelector": {"matchLabels": members}}


def test_media_come_back_beside_the_application_as_its_user() -> None:
    secret, account, job = rendered("maximal", "media")
    assert {one["metadata"]["namespace"] for one in (secret, account, job)} == {"second"}
    assert set(secret["stringData"]) == {"key.txt", "access_key", "secret_key"}
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 33
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in pod["containers"][0]["volumeMounts"]}
    assert mounts == {"/etc/backup": True, "/key": True, "/media/media": False, "/media/scans": False}
    assert "PGHOST" not in str(job)


def test_a_moment_is_copied_from_the_second_server_and_secrets_come_from_the_bucket() -> None:
    tls = {"second-database/postgres-tls": {"ca.crt": "of the members"}}
    both = {
        "__postgres_backup_source": trust_as_template("{{ __postgres_backup_second_server }}"),
        "platform_secrets": tls,
    }
    secret, _, job = rendered("maximal", "streamed", **both)
    environment = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environment["SOURCE_PGHOST"] == "postgres-restored.second-database.svc"
    assert environment["SOURCE_PGSSLMODE"] == "verify-ca"
    assert secret["stringData"] == {
        "password": "of-the-moment",
        "source-password": "of-the-moment",
        "source-ca.crt": "of the members",
    }
    secret, _, _ = rendered("maximal", "streamed", **both, restore_secrets=True)
    assert {"key.txt", "access_key", "secret_key"} <= {*secret["stringData"]}
    # The pod that reads them asks for the bucket alone.
    _, _, job = rendered("maximal", "secrets", **both | {"__postgres_backup_source": {}}, restore_secrets=True)
    assert "AWS_ACCESS_KEY_ID" in str(job)
    assert "SOURCE_PGHOST" not in str(job)
