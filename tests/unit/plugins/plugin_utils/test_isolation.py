"""The drill `isolation`: who tries what, and what is made of the answers."""

from __future__ import annotations

import shlex
import socket
import subprocess
from typing import Any

import kubernetes_validate
import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.filter.isolation import isolation_plan, isolation_report
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import isolation
from network import world
from unit.templates import checks

DATABASE = "exchange-database"
PRESENT = [DATABASE, "exchange", "default"]


def matrix() -> dict[str, Any]:
    """Return the role's own matrix, with somebody who isn't there."""
    known = world.matrix()
    own = {name: known.ends[name] for name in ("postgres", "backup", "app", "api_server", "archive")}
    return {
        "traffic": [flow for flow in known.flows if {flow["from"], flow["to"]} <= set(own)]
        + [{"from": "absent", "to": "postgres", "ports": [5432]}],
        # As the role says it: whoever is a part of the platform, in the app's namespace.
        "ends": {
            **own,
            "app": [{"namespace": "exchange", "pod_labels": {"app.kubernetes.io/part-of": "cryptoexchange"}}],
            "absent": [{"namespace": "nowhere"}],
        },
        "closed": [DATABASE, "exchange"],
    }


def member(number: int, **changed: Any) -> dict[str, Any]:
    labels = world.matrix().ends["postgres"][0]["pod_labels"]
    return {
        "metadata": {"name": f"postgres-{number}", "labels": {**labels, "role": "replica"}},
        "spec": {
            "containers": [
                {"name": "postgres", "ports": [{"containerPort": 5432}, {"containerPort": 8008}]},
                {"name": "sidecar"},
            ]
        },
        "status": {"phase": "Running", "podIP": f"10.0.0.{number}"},
        **changed,
    }


def plan(*pods: dict[str, Any]) -> dict[str, Any]:
    return isolation_plan(pods or [member(1), member(2)], matrix(), DATABASE, PRESENT)


def by_title(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {source["title"]: source for source in made["sources"]}


def test_who_tries() -> None:
    made = plan()
    assert [(source["title"], source["namespace"], source["make"]) for source in made["sources"]] == [
        ("app", "exchange", True),
        ("backup", DATABASE, True),
        ("postgres postgres-1", DATABASE, False),
        ("postgres postgres-2", DATABASE, False),
        ("no labels, in exchange-database", DATABASE, True),
        ("no labels, in exchange", "exchange", True),
        ("app's labels, in another namespace", "drill-isolation", True),
        ("backup's labels, in another namespace", "drill-isolation", True),
        ("postgres's labels, in another namespace", "drill-isolation", True),
        ("no labels, in another namespace", "drill-isolation", True),
    ]
    assert made["not_tried"] == ["absent: there is no namespace nowhere"]


def test_no_pod_of_the_drill_passes_for_a_member_in_the_database_s_namespace() -> None:
    """A Service would lead to it, and the StatefulSet might adopt it."""
    pretenders = [
        source["title"]
        for source in plan()["sources"]
        if source["make"] and source["namespace"] == DATABASE and source["labels"].get("app.kubernetes.io/name")
    ]
    assert pretenders == []


def test_members_that_don_t_run_are_left_out() -> None:
    made = plan(
        member(1),
        member(2, status={"phase": "Pending"}),
        member(3, metadata={**member(3)["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}),
        member(4, metadata={"name": "old", "labels": {isolation.LABEL: "isolation"}}),
    )
    assert [target["pod"] for target in made["targets"]] == ["postgres-1"]


def test_without_a_running_pod_there_is_nothing_to_show() -> None:
    with pytest.raises(AnsibleFilterError, match="no running pod with a port in the namespace exchange-database"):
        plan(member(1, status={"phase": "Pending"}))


def test_a_member_does_not_try_itself() -> None:
    made = plan()
    assert isolation.destinations(made, by_title(made)["postgres postgres-1"]) == ["10.0.0.2:5432", "10.0.0.2:8008"]
    assert len(isolation.destinations(made, by_title(made)["app"])) == 4


def test_what_the_drill_makes_is_valid_and_secure() -> None:
    made = isolation.manifests(plan(), "registry.example.com/postgres:17", "pull")
    for item in made:
        for minor in ("1.34", "1.37"):
            kubernetes_validate.validate(item, minor, strict=True)
        assert item["metadata"]["labels"][isolation.LABEL] == "isolation"
    pods = [
        {"kind": "Job", "apiVersion": "batch/v1", "metadata": item["metadata"], "spec": {"template": item}}
        for item in made
        if item["kind"] == "Pod"
    ]
    assert len(pods) == 2 + 8
    assert all(item["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "pull"}] for item in pods)
    for check in (checks.pod_security, checks.container_security, checks.resources, checks.service_account_tokens):
        assert check(pods) == []


def test_only_probes_outside_of_the_database_s_namespace_get_a_way_out() -> None:
    made = isolation.manifests(plan(), "image", "")
    policies = {
        (item["metadata"]["namespace"], *item["spec"]["policyTypes"]): item
        for item in made
        if item["kind"] == "NetworkPolicy"
    }
    assert set(policies) == {("drill-isolation", "Ingress"), ("exchange", "Egress")}
    assert "ingress" not in policies["drill-isolation", "Ingress"]["spec"]
    assert policies["exchange", "Egress"]["spec"]["podSelector"] == {"matchLabels": {isolation.LABEL: "isolation"}}


def output(made: dict[str, Any], source: dict[str, Any], *reached: int) -> str:
    """Return what a probe says that reaches some ports."""
    lines = [
        f"{where} {'yes' if int(where.rsplit(':', 1)[1]) in reached else 'no'}"
        for where in isolation.destinations(made, source)
    ]
    return "\n".join(lines) + "\n"


ENFORCED, NOT_ENFORCED, BROKEN = "closed no\nopen yes\n", "open yes\nclosed yes\n", "open no\nclosed no\n"
RIGHT = {
    "app": (5432,),
    "backup": (5432,),
    "postgres postgres-1": (5432, 8008),
    "postgres postgres-2": (5432, 8008),
}


def judged(doors: str, reached: dict[str, tuple[int, ...]], *, required: bool = False) -> dict[str, Any]:
    made = plan()
    results = [
        {"item": source, "stdout": output(made, source, *reached.get(source["title"], ()))}
        for source in made["sources"]
    ]
    return isolation_report(made, matrix(), results, doors, required)


def test_all_is_as_it_should_be() -> None:
    found = judged(ENFORCED, RIGHT)
    assert found["enforced"] is True
    assert found["problems"] == []
    assert found["table"][0] == "This cluster enforces NetworkPolicies."
    assert len(found["rows"]) == 20
    app = next(row for row in found["rows"] if row["source"] == "app" and row["port"] == 5432)
    assert (app["target"], app["allowed"], app["reached"], app["of"]) == ("postgres", True, 2, 2)
    assert not any(line.endswith(("WRONG", "not enforced")) for line in found["table"])
    assert found["table"][-1] == "not tried: absent: there is no namespace nowhere"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"app": ()}, "app to postgres port 5432 is allowed, and 0 of 2 were reached"),
        ({"app": (5432, 8008)}, "app to postgres port 8008 is not allowed, and 2 of 2 were reached"),
        (
            {"no labels, in another namespace": (5432,)},
            "no labels, in another namespace to postgres port 5432 is not allowed, and 2 of 2 were reached",
        ),
        (
            {"postgres postgres-1": (5432,)},
            "postgres postgres-1 to postgres port 8008 is allowed, and 0 of 1 were reached",
        ),
    ],
)
def test_what_is_wrong_is_a_problem(changed: dict[str, tuple[int, ...]], problem: str) -> None:
    found = judged(ENFORCED, {**RIGHT, **changed})
    assert found["problems"] == [problem]
    assert sum(line.endswith("WRONG") for line in found["table"]) == 1


def test_a_probe_that_says_nothing_shows_nothing() -> None:
    made = plan()
    results = [{"item": source, "stdout": ""} for source in made["sources"]]
    found = isolation_report(made, matrix(), results, ENFORCED, False)  # noqa: FBT003  # as Jinja calls it
    assert len(found["problems"]) == len(found["rows"])
    assert "app to postgres port 5432: the probe didn't answer for 2 of 2" in found["problems"]


def test_a_cluster_that_does_not_enforce_is_called_that() -> None:
    everything = {source["title"]: (5432, 8008) for source in plan()["sources"]}
    found = judged(NOT_ENFORCED, everything)
    assert found["enforced"] is False
    assert found["problems"] == []
    assert found["table"][0].startswith("THIS CLUSTER DOES NOT ENFORCE NETWORKPOLICIES")
    assert sum(line.endswith("not enforced") for line in found["table"]) == 14
    (problem,) = judged(NOT_ENFORCED, everything, required=True)["problems"]
    assert problem.startswith("this cluster does not enforce NetworkPolicies (postgres_isolation_required")


def test_even_there_what_is_allowed_must_be_reached() -> None:
    everything = {source["title"]: (5432, 8008) for source in plan()["sources"]}
    assert judged(NOT_ENFORCED, {**everything, "backup": ()})["problems"] == [
        "backup to postgres port 5432 is allowed, and 0 of 2 were reached"
    ]


@pytest.mark.parametrize("doors", [BROKEN, "", "open yes\n"])
def test_without_the_control_nothing_is_said(doors: str) -> None:
    found = judged(doors, RIGHT)
    assert found["enforced"] is None
    assert found["problems"] == ["the drill's own pods can't reach each other, so nothing can be said"]


def test_the_probe_itself() -> None:
    """It says yes to a port that listens and no to one that doesn't, and survives odd names."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        command = isolation.command(
            {
                "open": f"127.0.0.1:{server.getsockname()[1]}",
                "127.0.0.1:1": f"127.0.0.1:{unused.getsockname()[1]}",
            }
        )
        said = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True, timeout=30).stdout
    assert isolation.answers(said) == {"open": True, "127.0.0.1:1": False}


def test_the_doors_are_told_apart_by_their_labels() -> None:
    pods = [
        {"metadata": {"labels": {"door": state}}, "status": {"podIP": f"10.9.0.{number}"}}
        for number, state in enumerate(("closed", "open"))
    ]
    assert shlex.split(isolation.door_command(pods))[-2:] == ["open,10.9.0.1,8080", "closed,10.9.0.0,8080"]
