"""playbooks/controller.yml with the real modules of awx.awx, against a stand-in of AWX's API.

The modules check their arguments, look things up by name and compare; AWX's own rules are not seen here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from unit.plugins.plugin_utils.pem import pair
from unit.roles.awx_stand_in import Awx, served

PROJECT = Path(__file__).resolve().parents[3]
CA = pair("kubernetes").pem
TOKEN, KEY = "a-token-of-the-cluster", "AGE-SECRET-KEY-1TEST"  # nobody's
ASKED: dict[str, Any] = {
    "controller_token": "a-token-of-awx",
    # Each costs seconds; the others are made in the same way.
    "controller_templates": ["site", "app", "verify"],
    "controller_scm_url": "https://git.example.com/platform.git",
    "controller_environments": [
        {
            "name": "prod",
            "api_host": "https://10.0.0.1:6443",
            "api_token": TOKEN,
            "api_ca": CA,
            "secrets": {"postgres_backup_drill_private_key": KEY},
            "verify_production_name": "exchange.example.com",
        },
        {"name": "staging", "kubeconfig": f"users: [{{name: it, user: {{token: {TOKEN}}}}}]"},
    ],
}
TEMPLATES = yaml.safe_load((PROJECT / "roles" / "controller" / "files" / "templates.yml").read_text())


@pytest.fixture
def awx() -> Awx:
    """Return an empty AWX."""
    return Awx()


@pytest.fixture
def address(awx: Awx, tmp_path: Path) -> Iterator[str]:
    """Serve it over TLS, with a certificate in tmp_path/awx.crt."""
    made = pair("localhost", ["localhost"], days=36500)
    (tmp_path / "awx.crt").write_text(made.pem)
    (tmp_path / "awx.key").write_text(made.key_pem())
    with served(awx, tmp_path / "awx.crt", tmp_path / "awx.key") as found:
        yield found.replace("127.0.0.1", "localhost")


def controller(address: str, ca: Path | None, *arguments: str, **variables: Any) -> str:
    """Run the playbook and return its output."""
    values = {"controller_host": address, **ASKED, **variables}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONTROLLER_", "TOWER_"))}
    environment |= {"SSL_CERT_FILE": str(ca)} if ca else {}
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "playbooks/controller.yml", "-e", json.dumps(values), *arguments],
        cwd=PROJECT,
        env={**environment, "ANSIBLE_FORCE_COLOR": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def changed(output: str) -> int:
    found = re.search(r"changed=(\d+).*failed=0", output)
    return int(found[1]) if found else -1


def test_awx_gets_everything_and_a_second_run_changes_nothing(awx: Awx, address: str, tmp_path: Path) -> None:
    output = controller(address, tmp_path / "awx.crt", "--diff")
    assert changed(output) > 0, output
    for secret in (TOKEN, KEY, "a-token-of-awx"):
        assert secret not in output

    organization = awx.named("organizations", "exchange")
    assert awx.below[f"organizations/{organization['id']}/galaxy_credentials"] == [1], "or collections are skipped"
    project = awx.named("projects", "exchange")
    assert project["scm_update_on_launch"] is False, "or something else than what was approved is applied"

    by_token = awx.named("credential_types", "exchange cluster, by a token")
    assert by_token["injectors"]["env"]["K8S_AUTH_VERIFY_SSL"] == "true"
    assert by_token["injectors"]["env"]["K8S_AUTH_SSL_CA_CERT"] == "{{ tower.filename.ca }}"
    assert by_token["inputs"]["required"] == ["host", "token", "ca"]
    by_kubeconfig = awx.named("credential_types", "exchange cluster, by a kubeconfig")
    assert by_token["injectors"]["extra_vars"] == {"platform_kubeconfig": "", "platform_context": ""}
    assert by_kubeconfig["injectors"]["extra_vars"] == {
        "platform_kubeconfig": "{{ tower.filename.kubeconfig }}",
        "platform_context": "",
    }
    assert awx.named("credentials", "exchange prod cluster")["credential_type"] == by_token["id"]
    assert awx.named("credentials", "exchange staging cluster")["credential_type"] == by_kubeconfig["id"]
    [secrets] = [item for item in awx.items["credentials"] if "secrets" in item["name"]]
    assert secrets["name"].startswith("exchange prod secrets ")
    [of_secrets] = [item for item in awx.items["credential_types"] if item["id"] == secrets["credential_type"]]
    assert of_secrets["injectors"]["extra_vars"] == {
        "postgres_backup_drill_private_key": "{{ postgres_backup_drill_private_key }}"
    }

    source = awx.named("inventory_sources", "exchange prod")
    assert source["source_path"] == "inventories/prod/hosts.yml"
    for environment in ("prod", "staging"):
        for name in ASKED["controller_templates"]:
            template = TEMPLATES[name]
            made = awx.named("job_templates", f"exchange {environment} {name}")
            assert made["playbook"] == template["playbook"]
            survey = awx.surveys.get(str(made["id"]))
            asked = [question["variable"] for question in survey["spec"]] if survey else []
            assert (asked, made["survey_enabled"], survey is not None) == (template["asks"], *[bool(asked)] * 2)
            assert len(awx.below[f"job_templates/{made['id']}/credentials"]) == (2 if environment == "prod" else 1)

    workflow(awx)
    again = controller(address, tmp_path / "awx.crt", controller_environments=ASKED["controller_environments"][:1])
    assert changed(again) == 0, again


def workflow(awx: Awx) -> None:
    """Assert that it updates, checks, waits, applies and verifies."""
    made = awx.named("workflow_job_templates", "exchange prod check, approve, apply, verify")
    nodes = [one for one in awx.items["workflow_job_template_nodes"] if one["workflow_job_template"] == made["id"]]
    by_id = {node["id"]: node for node in nodes}
    templates = {item["id"]: item.get("name") for kind in awx.items for item in awx.items[kind]}
    [node] = [one for one in nodes if one["identifier"] == "update"]
    seen = []
    while node:
        seen.append((templates[node["unified_job_template"]], node.get("job_type")))
        following = awx.below[f"workflow_job_template_nodes/{node['id']}/success_nodes"]
        assert len(following) <= 1
        node = by_id[following[0]] if following else {}
    assert seen == [
        ("exchange", None),
        ("exchange prod site", "check"),
        ("exchange prod: apply what the check said", None),
        ("exchange prod site", "run"),
        ("exchange prod verify", "run"),
    ]
    [verify] = [one for one in nodes if one["identifier"] == "verify"]
    assert verify["extra_data"] == {"verify_production_name": "exchange.example.com"}


def test_an_awx_that_nobody_vouches_for_gets_nothing(awx: Awx, address: str) -> None:
    output = controller(address, None)
    assert changed(output) == -1
    assert "certificate verify failed" in output
    assert "organizations" not in awx.items or awx.items["organizations"] == []


def test_bad_values_are_refused_all_at_once_before_any_change(awx: Awx, address: str, tmp_path: Path) -> None:
    wrong = [{"name": "prd", "api_host": "https://10.0.0.1:6443", "api_token": TOKEN}]
    output = controller(address, tmp_path / "awx.crt", controller_galaxy_credentials=[], controller_environments=wrong)
    flat = " ".join(output.split())
    assert "Nothing has been changed" in flat
    for said in ("controller_galaxy_credentials is []", "controller_environments[0].name is 'prd'", "[0].api_ca is ''"):
        assert said in flat, output
    assert TOKEN not in output
    assert "organizations" not in awx.items
