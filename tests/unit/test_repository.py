"""What must be the same in several files is; links lead somewhere; nothing of one machine is in the project."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
# A home directory with a user's name in it, or root's; `~` says it for everybody.
HOME = re.compile(r"(?<![\w.:-])/(?:root|home/[a-z][\w-]*)/")
# Files that say what may not stand elsewhere.
ABOUT_PATHS = frozenset({"tests/unit/test_repository.py"})
BUILT = re.compile(r"cryptoexchange-platform-\d[\w.-]*\.tar\.gz$|(^|/)(__pycache__|\.venv|build)/|\.py[co]$|\.retry$")


def load(name: str) -> Any:
    return yaml.safe_load((PROJECT / name).read_text())


@cache
def tracked() -> list[str]:
    """Return the project's files, committed or about to be, as paths from its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (PROJECT / name).is_file()]


def text_of(name: str) -> str:
    content = (PROJECT / name).read_bytes()
    return "" if b"\0" in content else content.decode(errors="replace")


def collections() -> dict[str, str]:
    return {item["name"]: item["version"] for item in load("collections/requirements.yml")["collections"]}


def test_galaxy_and_requirements_name_the_same_collections() -> None:
    assert load("galaxy.yml")["dependencies"] == collections()


def requirements(name: str) -> list[Requirement]:
    """Return what a file under requirements/ asks for, without the files that it includes."""
    lines = [line.partition("#")[0].strip() for line in (PROJECT / "requirements" / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


@pytest.mark.parametrize(("name", "versions"), collections().items())
def test_the_ansible_package_carries_a_collection_that_fits(name: str, versions: str) -> None:
    spec = importlib.util.find_spec("ansible_collections")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    places = [Path(place, *name.split("."), "MANIFEST.json") for place in spec.submodule_search_locations]
    manifest = next(place for place in places if place.exists())
    installed = yaml.safe_load(manifest.read_text())["collection_info"]["version"]
    assert Version(installed) in SpecifierSet(versions)


def test_ansible_core_is_as_new_as_the_collection_needs() -> None:
    needed = SpecifierSet(load("meta/runtime.yml")["requires_ansible"])
    assert Version(importlib.metadata.version("ansible-core")) in needed
    ansible = next(wanted for wanted in requirements("control-node.txt") if wanted.name == "ansible")
    assert Version(importlib.metadata.version("ansible")) in ansible.specifier


@pytest.mark.parametrize("name", ["test.txt", "control-node.txt", "app.txt", "app-test.txt"])
def test_the_lock_fits_what_it_was_made_of(name: str) -> None:
    locked = {wanted.name: wanted.specifier for wanted in requirements("test.lock")}
    pins = {canonicalize_name(name): next(iter(specifier)).version for name, specifier in locked.items()}
    off = [
        str(wanted)
        for wanted in requirements(name)
        if pins.get(canonicalize_name(wanted.name), "none") not in wanted.specifier
    ]
    assert off == [], "make it anew: the command is in its first line"


def test_the_readme_names_the_supported_kubernetes() -> None:
    supported = load("roles/platform/vars/main.yml")
    oldest, newest = supported["platform_kubernetes_oldest"], supported["platform_kubernetes_newest"]
    assert f"Kubernetes {oldest} to {newest}" in (PROJECT / "README.md").read_text()


def test_the_cluster_of_the_tests_runs_a_supported_kubernetes() -> None:
    supported = load("roles/platform/vars/main.yml")
    minor = Version(load("tests/cluster/versions.yml")["kubernetes"].removeprefix("v")).release[:2]
    oldest, newest = (Version(supported[f"platform_kubernetes_{end}"]).release for end in ("oldest", "newest"))
    assert oldest <= minor <= newest


def test_every_role_says_the_same_about_itself() -> None:
    metas = [load(str(path.relative_to(PROJECT))) for path in PROJECT.glob("roles/*/meta/main.yml")]
    facts = {(meta["galaxy_info"]["license"], meta["galaxy_info"]["min_ansible_version"]) for meta in metas}
    assert facts == {("Apache-2.0", "2.19")}


@pytest.mark.parametrize("name", [name for name in tracked() if name.endswith(".md")])
def test_links_lead_somewhere(name: str) -> None:
    page = PROJECT / name
    targets = [target.partition("#") for target in LINK.findall(page.read_text())]
    files = [PROJECT / file for file in tracked()]
    broken = []
    for path, _, anchor in targets:
        if "://" in path or path.startswith("mailto:"):
            continue
        target = (page.parent / path).resolve() if path else page
        # An empty folder is not in a clone.
        if not any(file == target or target in file.parents for file in files):
            broken.append(path)
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_file_names_a_home_directory() -> None:
    found = [
        f"{name}: {match[0]}"
        for name in tracked()
        if name not in ABOUT_PATHS
        for match in [HOME.search(text_of(name))]
        if match
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_home"),
    [
        (f"open {Path.home()}/.kube/config", True),
        ('"/home/jane/.ssh"', True),
        ("~/.kube/prod", False),
        ("$HOME/.cache", False),
        ("mount at /home/", False),
        ("https://example.org/home/page/", False),
    ],
)
def test_a_home_directory_is_recognised(text: str, *, is_home: bool) -> None:
    assert bool(HOME.search(text)) is is_home


def test_nothing_that_is_built_is_kept() -> None:
    assert [name for name in tracked() if BUILT.search(name)] == []
