"""execution-environment.yml names what the tests ran with, and ansible-builder takes it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).resolve().parents[2]


def load(name: str) -> Any:
    return yaml.safe_load((PROJECT / name).read_text())


def requirements(name: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in (PROJECT / "requirements" / name).read_text().splitlines()]
    wanted = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(one.name): one for one in wanted}


DEFINITION = load("execution-environment.yml")
DEPENDENCIES = DEFINITION["dependencies"]
PYTHON = [
    Requirement(line)
    for line in [
        *DEPENDENCIES["python"],
        DEPENDENCIES["ansible_core"]["package_pip"],
        DEPENDENCIES["ansible_runner"]["package_pip"],
    ]
]


@pytest.mark.parametrize("wanted", PYTHON, ids=lambda wanted: wanted.name)
def test_python_packages_have_the_versions_that_the_tests_ran_with(wanted: Requirement) -> None:
    assert wanted.specifier == requirements("test.lock")[canonicalize_name(wanted.name)].specifier


def test_it_holds_what_a_control_node_needs() -> None:
    # The PyPI package `ansible` is ansible-core and every collection there is; the image has those that are called.
    assert {wanted.name for wanted in PYTHON} - {"ansible-core", "ansible-runner"} == (
        set(requirements("control-node.txt")) - {"ansible"}
    )


def test_it_holds_the_collections_that_awx_would_install() -> None:
    ranges = {one["name"]: one["version"] for one in load("collections/requirements.yml")["collections"]}
    pinned = {one["name"]: one["version"] for one in DEPENDENCIES["galaxy"]["collections"]}
    assert set(pinned) == set(ranges)
    assert [name for name, version in pinned.items() if Version(version) not in SpecifierSet(ranges[name])] == []
    assert set(DEPENDENCIES["exclude"]["all_from_collections"]) == set(pinned)


def test_it_holds_the_collections_that_are_called() -> None:
    files = [path for folder in ("roles", "playbooks") for path in (PROJECT / folder).rglob("*.yml")]
    named = r"^\s*(?:- )?([a-z_]+\.[a-z_]+)\.[a-z_]+:"
    called = {found for path in files for found in re.findall(named, path.read_text(), re.MULTILINE)}
    assert called - {"ansible.builtin", "cryptoexchange.platform"} == {
        one["name"] for one in DEPENDENCIES["galaxy"]["collections"]
    }


@pytest.mark.parametrize("one", DEPENDENCIES["galaxy"]["collections"], ids=lambda one: one["name"])
def test_collections_have_the_versions_that_the_tests_ran_with(one: dict[str, str]) -> None:
    spec = importlib.util.find_spec("ansible_collections")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    places = [Path(place, *one["name"].split("."), "MANIFEST.json") for place in spec.submodule_search_locations]
    manifest = yaml.safe_load(next(place for place in places if place.exists()).read_text())
    assert one["version"] == manifest["collection_info"]["version"]


def test_helm_is_the_one_that_the_tests_ran_with() -> None:
    [helm] = [one for one in load("tests/cluster/versions.yml")["binaries"] if one["name"] == "helm"]
    lines = [line for step in DEFINITION["additional_build_steps"].values() for line in step]
    assert f"ARG HELM_VERSION={helm['version'].removeprefix('v')}" in lines


def test_ansible_builder_takes_it(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("ansible-builder")
    command = [
        program,
        "create",
        "--file",
        "execution-environment.yml",
        "--context",
        tmp_path,
        "--output-filename",
        "Containerfile",
    ]
    made = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    text = (tmp_path / "Containerfile").read_text()
    assert "PIP_CONSTRAINT" in text
    assert (tmp_path / "_build" / "constraints" / "test.lock").exists()
