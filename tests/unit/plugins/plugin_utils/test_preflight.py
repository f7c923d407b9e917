"""What preflight refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Finding, Role, find_errors

OPTIONS: dict[str, dict[str, Any]] = {
    "db_replicas": {"type": "int", "default": 3},
    "db_mode": {"type": "str", "choices": ["quorum", "async"]},
    "db_password": {"type": "str", "no_log": True},
    "db_extra": {"type": "dict", "options": {"size": {"type": "str", "required": True}}},
    "db_names": {"type": "list", "elements": "str"},
    "db_on": {"type": "bool"},
    "db_domain": {"type": "str", "required": True},
}
GOOD: dict[str, Any] = {"db_domain": "a.example", "db_replicas": 3}


def role() -> Role:
    return Role(
        "db",
        OPTIONS,
        frozenset({"db_computed"}),
        lambda values: (
            [Finding("db_replicas", values["db_replicas"], "expected 1 to 9")] if values["db_replicas"] < 1 else []
        ),
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"db_replicas": "many"}, ["db_replicas is 'many'", "int"]),
        ({"db_replicas": 0}, ["db_replicas is 0: expected 1 to 9"]),
        ({"db_replicas": True}, ["db_replicas is True", "expected int"]),
        ({"db_replicas": [3]}, ["db_replicas is [3]", "expected int"]),
        ({"db_mode": "both"}, ["db_mode is 'both'", "allowed: quorum, async"]),
        ({"db_mode": ["async"]}, ['db_mode is ["async"]', "allowed"]),
        ({"db_domain": 5}, ["db_domain is 5", "expected str"]),
        ({"db_domain": {"a": 1}}, ["db_domain is", "expected str"]),
        ({"db_extra": {"size": "1", "siez": "2"}}, ["db_extra is", "siez"]),
        ({"db_extra": {}}, ["db_extra is {}", "size"]),
        ({"db_extra": "size=1"}, ["db_extra is 'size=1'", "expected dict"]),
        ({"db_names": "a,b"}, ["db_names is 'a,b'", "expected list of str"]),
        ({"db_on": "maybe"}, ["db_on is 'maybe'", "bool"]),
        ({"db_replicsa": 3}, ["db_replicsa is not a variable of the role db; did you mean db_replicas?"]),
        ({"db_zzz": 3}, ["db_zzz is not a variable of the role db; see ansible-doc"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(changed: dict[str, Any], expected: list[str]) -> None:
    values = {**GOOD, **changed}
    errors = find_errors([role()], values, names=list(values))
    assert len(errors) == 1, errors
    assert all(part in errors[0] for part in expected), errors


def test_a_missing_variable_is_named() -> None:
    assert find_errors([role()], {"db_replicas": 1}, names=[]) == ["db_domain is not set; expected str"]


def test_a_secret_is_never_shown() -> None:
    errors = find_errors([role()], {**GOOD, "db_password": ["geheim"]}, names=[])
    assert len(errors) == 1
    assert "geheim" not in errors[0]
    assert "db_password is (hidden)" in errors[0]


def test_all_errors_come_at_once() -> None:
    values = {"db_domain": 5, "db_mode": "x", "db_replicas": "many", "db_replica": 1}
    assert len(find_errors([role()], values, names=list(values))) == 4


def test_good_values_internal_names_and_other_roles_are_left_alone() -> None:
    values = {**GOOD, "db_computed": 1, "db_backup_target": "x", "unrelated": 1, "db_on": "yes"}
    assert find_errors([role()], values, names=list(values), other_prefixes=["db_backup"]) == []


def test_a_template_that_fails_is_an_error_of_its_own() -> None:
    errors = find_errors([role()], {"db_replicas": 1}, names=[], not_computed={"db_domain": "'x' is undefined"})
    assert "db_domain can't be computed: 'x' is undefined" in errors
