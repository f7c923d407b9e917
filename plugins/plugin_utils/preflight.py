"""What preflight finds wrong with the variables of the enabled roles. Pure: no files, no cluster."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

HIDDEN = "(hidden)"

# A role's rules across variables: validated values in, one finding per error out.
Rules = Callable[[Mapping[str, Any]], Sequence["Finding"]]


@dataclass(frozen=True)
class Finding:
    """An error: the variable (or a path below it), its value and what is allowed."""

    variable: str
    value: Any
    expected: str


@dataclass(frozen=True)
class Role:
    """A role as preflight sees it: its options by name, names that its own code sets, its rules."""

    name: str
    options: Mapping[str, Mapping[str, Any]]
    internal: frozenset[str] = field(default_factory=frozenset)
    rules: Rules | None = None


def is_secret(option: Mapping[str, Any]) -> bool:
    """Say whether an option, or one below it, must not be shown."""
    return bool(option.get("no_log")) or any(is_secret(sub) for sub in (option.get("options") or {}).values())


def shown(value: Any, option: Mapping[str, Any]) -> str:
    """Return a value as an error shows it: short, and hidden if it is a secret."""
    if is_secret(option):
        return HIDDEN
    text = json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (dict, list)) else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."  # noqa: PLR2004


def check_types(role: Role, values: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Check each variable against its option; return the errors and the values in their proper types."""
    errors: list[str] = []
    valid: dict[str, Any] = {}
    for name, option in role.options.items():
        if name not in values:
            if option.get("required"):
                errors.append(f"{name} is not set; {allowed(option)}")
            continue
        because = wrong_shape(values[name], option)
        if not because:
            result = ArgumentSpecValidator({name: option}).validate({name: values[name]})
            because = "; ".join(dict.fromkeys(clean(message) for message in result.error_messages))
        if because:
            if is_secret(option):
                because = "wrong type or unknown key"
            errors.append(f"{name} is {shown(values[name], option)}: {because}; {allowed(option)}")
        else:
            valid[name] = result.validated_parameters[name]
    return errors, valid


def wrong_shape(value: Any, option: Mapping[str, Any]) -> str:
    """Return why a value is of another type, before Ansible's validator turns it into the right one.

    The validator takes a list for a string, true for a number and "a,b" for a list; a role would get the original.
    """
    kind = option.get("type", "str")
    accepted: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int, str),
        "float": (float, int, str),
        "bool": (bool, str),
        "list": (list, tuple),
        "dict": (Mapping,),
    }
    types = accepted.get(kind)
    wrong = types is not None and (
        not isinstance(value, types) or (kind in {"int", "float"} and isinstance(value, bool))
    )
    return (
        f"it is a {type(value).__name__.removeprefix('_AnsibleTagged').lower()}" if wrong and value is not None else ""
    )


def clean(message: str) -> str:
    """Shorten the wording of Ansible's validator."""
    return message.replace(" and we were unable to convert to ", ", not ").split(": The type")[0].rstrip(". ")


def allowed(option: Mapping[str, Any]) -> str:
    """Return what an option takes."""
    if option.get("choices"):
        return f"allowed: {', '.join(map(str, option['choices']))}"
    kind = option.get("type", "str")
    kind = f"list of {option['elements']}" if kind == "list" and option.get("elements") else kind
    keys = option.get("options")
    return f"expected {kind}" + (f" with the keys {', '.join(sorted(keys))}" if keys else "")


def unknown_names(roles: Sequence[Role], other_prefixes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return an error for each variable that carries an enabled role's prefix and that the role doesn't know.

    Args:
        roles: the enabled roles.
        other_prefixes: names of roles that are not enabled; what carries their prefix is theirs.
        names: names of all variables that the inventory and the command line set.
    """
    errors = []
    prefixes = sorted([*(role.name for role in roles), *other_prefixes], key=len, reverse=True)
    known = {role.name: role for role in roles}
    for name in sorted(names):
        owner = next((prefix for prefix in prefixes if name.startswith(f"{prefix}_")), None)
        if owner not in known or name in known[owner].options or name in known[owner].internal:
            continue
        near = difflib.get_close_matches(name, list(known[owner].options), n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else f"; see ansible-doc -t role cryptoexchange.platform.{owner}"
        errors.append(f"{name} is not a variable of the role {owner}{hint}")
    return errors


def find_errors(
    roles: Sequence[Role],
    values: Mapping[str, Any],
    *,
    names: Sequence[str],
    other_prefixes: Sequence[str] = (),
    not_computed: Mapping[str, str] | None = None,
) -> list[str]:
    """Return every error in the variables of the enabled roles, each as one line.

    Args:
        roles: the enabled roles; the first is the one whose variables all share.
        values: computed values of their variables.
        names: names of all variables that are set anywhere.
        other_prefixes: names of roles that are not enabled.
        not_computed: variables whose templates failed, with the reason.
    """
    errors = unknown_names(roles, other_prefixes, names)
    errors += [f"{name} can't be computed: {reason}" for name, reason in (not_computed or {}).items()]
    proper: dict[str, Any] = {}
    broken: set[str] = set(not_computed or {})
    options: dict[str, Mapping[str, Any]] = {}
    for role in roles:
        found, valid = check_types(role, {k: v for k, v in values.items() if k not in broken})
        errors += found
        proper.update(valid)
        options.update(role.options)

    # Rules see whole sets of values, their role's and the shared ones: a value that is wrong by itself is said already,
    # and the documented default stands in for it, so that other errors come in the same message.
    stand_ins = {
        name: options[name]["default"]
        for name in options
        if name not in proper and "default" in options[name] and (name in values or name in broken)
    }
    proper |= stand_ins

    def whole(role: Role) -> bool:
        expected = (n for n, o in role.options.items() if n in values or n in broken or o.get("required"))
        return all(name in proper for name in expected)

    for role in roles:
        if role.rules is None or not whole(role) or not whole(roles[0]):
            continue
        for finding in role.rules(proper):
            name = finding.variable.split(".")[0].split("[")[0]
            if name not in stand_ins:
                value = shown(finding.value, options.get(name, {}))
                errors.append(f"{finding.variable} is {value}: {finding.expected}")
    return errors
