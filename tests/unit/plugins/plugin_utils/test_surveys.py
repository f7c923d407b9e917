"""Surveys say what the argument specs say, and the ones that are kept are up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import surveys as generator
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.surveys import (
    SurveyError,
    credential_fields,
    description_of,
    question,
    secret_names,
    survey,
)

PROJECT = Path(__file__).resolve().parents[4]
TEMPLATES = generator.load(generator.FILES / "templates.yml")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"type": "str", "default": "a"}, {"type": "text", "default": "a", "min": 0, "max": 1024}),
        ({}, {"type": "text", "default": "", "required": False}),
        ({"type": "int", "default": 3}, {"type": "integer", "default": 3, "min": 0, "max": 2147483647}),
        ({"type": "float", "default": 0.5}, {"type": "float", "default": 0.5}),
        (
            {"type": "bool", "default": True},
            {"type": "multiplechoice", "choices": ["true", "false"], "default": "true"},
        ),
        (
            {"type": "str", "choices": ["a", "b"], "required": True},
            {"type": "multiplechoice", "choices": ["a", "b"], "required": True, "min": None, "max": None},
        ),
        (
            {"type": "list", "elements": "str", "choices": ["a", "b"], "default": ["a", "b"]},
            {"type": "multiselect", "choices": ["a", "b"], "default": "a\nb"},
        ),
        ({"type": "list", "elements": "str", "default": []}, {"type": "textarea", "choices": [], "default": ""}),
        ({"type": "str", "no_log": True, "default": ""}, {"type": "password"}),
    ],
)
def test_an_option_becomes_a_question(option: dict[str, Any], expected: dict[str, Any]) -> None:
    asked = question("x", option)
    assert {key: asked[key] for key in expected} == expected
    assert asked["variable"] == "x"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"type": "dict"}, "a dict can't be asked for"),
        ({"type": "list", "elements": "dict"}, "a list can't be asked for"),
        ({"default": "{{ other }}"}, "its default is computed"),
    ],
)
def test_what_a_form_can_not_ask(option: dict[str, Any], said: str) -> None:
    with pytest.raises(SurveyError, match=f"x: {said}"):
        question("x", option)
    with pytest.raises(SurveyError, match="no role or playbook has the variables y"):
        survey(["x", "y"], {"x": {}})


def test_descriptions_are_plain_text() -> None:
    assert description_of({"description": ["See O(a) and C(b c).", "And RV(d), V(e)."]}) == "See a and b c. And d, e."


def test_a_credential_holds_single_secrets_and_requires_each() -> None:
    options = {
        "a_password": {"no_log": True},
        "b": {},
        "c": {"type": "list", "no_log": True},
        "d_key": {"no_log": True},
    }
    assert secret_names(options) == ["a_password", "d_key"]
    made = credential_fields(["d_key", "a_password"], options)
    assert made["inputs"]["required"] == ["a_password", "d_key"]
    assert [field["multiline"] for field in made["inputs"]["fields"]] == [False, True]
    assert made["injectors"] == {"extra_vars": {"a_password": "{{ a_password }}", "d_key": "{{ d_key }}"}}


@pytest.mark.parametrize("name", sorted(generator.generated()))
def test_the_survey_that_is_kept_is_up_to_date(name: str) -> None:
    kept = (generator.FILES / "surveys" / name).read_text()
    assert kept == generator.generated()[name], "make surveys"


def test_there_is_one_for_each_template_that_asks_and_no_other() -> None:
    asking = {name for name, template in TEMPLATES.items() if template["asks"]}
    assert {path.stem for path in (generator.FILES / "surveys").iterdir()} == asking


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_template_runs_a_playbook_that_is_there(name: str) -> None:
    assert (PROJECT / TEMPLATES[name]["playbook"]).is_file()


def test_variables_of_playbooks_have_their_names_and_defaults() -> None:
    plays = [play for path in PROJECT.glob("playbooks/*.yml") for play in yaml.safe_load(path.read_text())]
    variables = {name: value for play in plays for name, value in (play.get("vars") or {}).items()}
    kept = generator.load(generator.FILES / "options.yml")
    assert {name: option["default"] for name, option in kept.items()} == {name: variables[name] for name in kept}


def test_only_what_is_said_anew_for_each_run_is_asked_for() -> None:
    """An answer wins over the inventory, so none may be about what an inventory of ours sets."""
    settled = {
        name
        for path in PROJECT.glob("inventories/*/group_vars/all/*.yml")
        for name in (yaml.safe_load(path.read_text()) or {})
    }
    asked = {one["variable"] for text in generator.generated().values() for one in json.loads(text)["spec"]}
    assert asked & settled == set()
    # None of our inventories names it; yours may.
    assert "exchange_app_image_tag" not in asked
