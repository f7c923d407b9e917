"""Every manifest of every role, rendered as a run renders it: valid for Kubernetes, and as docs/contracts.md says."""

from __future__ import annotations

import re

import kubernetes_validate
import pytest
import yaml
from unit.templates import checks
from unit.templates.render import (
    ELSEWHERE,
    OWN_TEMPLATES,
    ROLES,
    load,
    render,
    roles_with_templates,
    sets,
    templates_of,
)

ROLE_NAMES = roles_with_templates()
NEEDED_SETS = {"default", "minimal", "maximal"}
CASES = [(role, name) for role in ROLE_NAMES for name in sets(role)]
SUPPORTED = yaml.safe_load((ROLES / "platform" / "vars" / "main.yml").read_text())
MINORS = [SUPPORTED["platform_kubernetes_oldest"], SUPPORTED["platform_kubernetes_newest"]]


def test_roles_are_found() -> None:
    assert {"platform", "postgres"} <= set(ROLE_NAMES)


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_the_role_has_sets_of_variables(role: str) -> None:
    missing = NEEDED_SETS - set(sets(role))
    assert not missing, (
        f"roles/{role} has templates: write the sets {sorted(missing)} in tests/unit/templates/{role}.yml"
    )


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_template_is_rendered_by_some_set(role: str) -> None:
    rendered = frozenset().union(*(render(role, name).templates for name in sets(role)))
    assert {name for name in templates_of(role) - OWN_TEMPLATES if not name.startswith(ELSEWHERE)} == rendered


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_the_maximal_set_says_something_about_every_variable_that_templates_use(role: str) -> None:
    used = used_by_templates(role)
    assert not used - set(sets(role)["maximal"])


def used_by_templates(role: str) -> set[str]:
    """Return the role's defaults that its templates name, themselves or through vars/main.yml."""
    defaults, variables = (load(ROLES / role / folder / "main.yml") or {} for folder in ("defaults", "vars"))
    text = "\n".join(path.read_text() for path in (ROLES / role / "templates").rglob("*.j2"))
    followed: set[str] = set()
    while more := {name for name in variables if name in words(text)} - followed:
        text += "\n".join(str(variables[name]) for name in more)
        followed |= more
    return set(defaults) & words(text)


def words(text: str) -> set[str]:
    """Return the identifiers in a text."""
    return set(re.findall(r"\w+", text))


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize(("role", "chosen"), CASES)
def test_objects_are_valid(role: str, chosen: str, minor: str) -> None:
    objects = render(role, chosen).objects
    assert objects
    for item in objects:
        used = kubernetes_validate.validate(item, minor, strict=True)
        assert used.startswith(minor), f"kubernetes-validate has no schemas of {minor}, it took {used}"


@pytest.mark.parametrize("check", checks.ALL)
@pytest.mark.parametrize(("role", "chosen"), CASES)
def test_objects_pass(role: str, chosen: str, check: str) -> None:
    assert checks.ALL[check](render(role, chosen).objects) == []


@pytest.mark.parametrize(("role", "chosen"), CASES)
def test_images_are_of_the_platform(role: str, chosen: str) -> None:
    rendered = render(role, chosen)
    variables = rendered.variables
    assert checks.images(rendered.objects, variables["platform_images"], variables["platform_image_registry"]) == []


@pytest.mark.parametrize(("role", "chosen"), CASES)
def test_objects_are_of_the_instance(role: str, chosen: str) -> None:
    rendered = render(role, chosen)
    instances = {item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in rendered.objects}
    assert instances == {rendered.variables["platform_instance"]}
