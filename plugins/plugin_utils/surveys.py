"""AWX's questions from roles' argument specs: surveys of job templates, fields of credential types. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Options = Mapping[str, Mapping[str, Any]]

# An int of an argument spec has no bounds; a survey wants some.
_INTEGERS = (0, 2**31 - 1)
# What AWX's forms hold.
_CHARACTERS = {"text": 1024, "textarea": 4096, "password": 1024}


class SurveyError(ValueError):
    """A variable that can't be asked for; the message says why."""


def description_of(option: Mapping[str, Any]) -> str:
    """Return an option's description as one paragraph, without the marks of Ansible's documentation."""
    said = option.get("description", "")
    text = " ".join(said if isinstance(said, (list, tuple)) else [str(said)])
    for mark in ("RV(", "C(", "O(", "V("):
        while mark in text:
            before, _, rest = text.partition(mark)
            inside, _, after = rest.partition(")")
            text = f"{before}{inside}{after}"
    return " ".join(text.split())


def kind_of(option: Mapping[str, Any]) -> str:
    """Return the type of question that fits an option's type."""
    kind, choices = option.get("type", "str"), option.get("choices")
    if option.get("no_log"):
        return "password"
    if kind == "list" and option.get("elements") != "dict":
        return "multiselect" if choices else "textarea"
    if kind == "bool" or choices:
        return "multiplechoice"
    kinds = {"str": "text", "path": "text", "int": "integer", "float": "float"}
    if kind not in kinds:
        raise SurveyError(f"a {kind} can't be asked for in a survey")
    return kinds[kind]


def answer_of(value: Any, kind: str) -> Any:
    """Return a default as a survey holds it: lists line by line, booleans as words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "\n".join(map(str, value))
    if value is None:
        return ""
    return value if kind in {"integer", "float"} else str(value)


def question(name: str, option: Mapping[str, Any]) -> dict[str, Any]:
    """Return the question for one variable.

    Raises:
        SurveyError: for a type that no form takes, and for a default that is computed: AWX would hand over its text.
    """
    try:
        kind = kind_of(option)
    except SurveyError as error:
        raise SurveyError(f"{name}: {error}") from None
    default = option.get("default")
    if "{{" in str(default):
        raise SurveyError(f"{name}: its default is computed from other variables, and an answer always wins over them")
    choices = [str(one) for one in option.get("choices") or (["true", "false"] if option.get("type") == "bool" else [])]
    # Bounds of a number, or of a text's length.
    low, high = _INTEGERS if kind in {"integer", "float"} else (0, _CHARACTERS.get(kind))
    return {
        "variable": name,
        "question_name": name,
        "question_description": description_of(option),
        "required": bool(option.get("required", False)),
        "type": kind,
        "min": None if choices else low,
        "max": None if choices else high,
        "choices": choices,
        "default": answer_of(default, kind),
    }


def survey(names: Sequence[str], options: Options) -> dict[str, Any]:
    """Return the survey that asks for some variables, in their order.

    Args:
        names: the variables.
        options: every option there is, by name, as in an argument spec.
    """
    unknown = [name for name in names if name not in options]
    if unknown:
        raise SurveyError(f"no role or playbook has the variables {', '.join(unknown)}")
    return {"name": "", "description": "", "spec": [question(name, options[name]) for name in names]}


def secret_names(options: Options) -> list[str]:
    """Return the variables that hold one secret text each: what a credential can hold."""
    return sorted(
        name for name, option in options.items() if option.get("no_log") and option.get("type", "str") == "str"
    )


def credential_fields(names: Sequence[str], options: Options) -> dict[str, Any]:
    """Return a credential type's inputs and injectors for some secret variables.

    Each field is required: AWX hands over an empty one as an empty text, which would win over the inventory's value.
    """
    return {
        "inputs": {
            "fields": [
                {
                    "id": name,
                    "label": name,
                    "type": "string",
                    "secret": True,
                    "multiline": name.endswith(("_key", "_certificate")),
                    "help_text": description_of(options[name]),
                }
                for name in sorted(names)
            ],
            "required": sorted(names),
        },
        "injectors": {"extra_vars": {name: f"{{{{ {name} }}}}" for name in sorted(names)}},
    }
