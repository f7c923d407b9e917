"""Which Helm the application is installed with, and which chart."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from unit.templates.render import ROLES, load

[ASSERTION] = [
    task for task in load(ROLES / "exchange_app" / "tasks" / "preflight.yml") if "ansible.builtin.assert" in task
]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("v3.14.0+g3fc9f4b", True),
        ("v3.22.0+g1234567", True),
        ("v3.13.3+gc8b9489", False),
        ("v2.17.0+ga690bad", False),
        ("v4.0.0+g99cd196", False),
        ("no such thing", False),
        ("", False),
    ],
)
def test_helm_3_since_3_14_is_taken(said: str, *, expected: bool) -> None:
    variables = {"exchange_app_helm_binary": "helm", "__exchange_app_helm": {"stdout": said}} | ASSERTION["vars"]
    templar = Templar(loader=DataLoader(), variables=variables)
    condition, message = ASSERTION["ansible.builtin.assert"]["that"], ASSERTION["ansible.builtin.assert"]["fail_msg"]
    assert all(templar.evaluate_conditional(one) for one in condition) == expected
    words = f"says version {said[1:].partition('+')[0]}" if said.startswith("v") else "can't be run"
    assert f"{words}; expected Helm 3, 3.14 or newer." in templar.template(message)


def test_continuous_delivery_knows_a_chart_by_the_same_hash(tmp_path: Path) -> None:
    project = ROLES.parent
    chart = tmp_path / "chart"
    shutil.copytree(project / "charts" / "exchange", chart)
    # Ansible's filter sorts letters of both cases together unless it is told not to.
    (chart / "templates" / "Zebra.yaml").write_text("a: 1\n")
    (chart / ".hidden").touch()
    [release] = [task for task in load(ROLES / "exchange_app" / "tasks" / "release.yml") if "vars" in task]
    # As ansible.builtin.find: not below its folders, and nothing hidden.
    files = [file for folder in (chart, chart / "templates") for file in folder.iterdir() if file.is_file()]
    found = [
        {"path": str(file), "checksum": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in files
        if not file.name.startswith(".")
    ]
    variables = {"__exchange_app_chart_files": {"files": found}, "__exchange_app_chart": str(chart)}
    ours = Templar(loader=DataLoader(), variables=variables).template(
        release["vars"]["__exchange_app_checksums"]["chart"]
    )
    command = 'source "$0" && chart_checksum "$1"'
    said = subprocess.run(
        ["bash", "-c", command, project / "ci" / "cluster.sh", chart], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == ours
