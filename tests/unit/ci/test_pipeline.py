"""The pipeline: whether GitLab's schema takes it, which jobs there are when, and that they call what a person can."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.npm import gitlab_ci_local

PROJECT = Path(__file__).resolve().parents[3]
IMAGES = ["exchange", "postgres", "postgres-exporter", "pgbouncer", "backup"]
BRANCH = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push"}
MERGE_REQUEST = {
    "CI_COMMIT_BRANCH": "",
    "CI_DEFAULT_BRANCH": "main",
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
    "CI_PROJECT_ID": "7",
}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what the pipeline is made of, in a repository of its own with a remote."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".gitlab-ci.yml", *(str(path.relative_to(PROJECT)) for path in (PROJECT / "ci").iterdir())):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((PROJECT / name).read_bytes())
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["remote", "add", "origin", "https://gitlab.example.org/exchange/exchange.git"],
        ["add", "."],
        [*author, "commit", "--quiet", "--message=x"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def local(checkout: Path, *arguments: str, schema: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run gitlab-ci-local in a checkout, as if every file had been changed. GitLab's schema takes it seconds."""
    words = [word for name, value in variables.items() for word in ("--variable", f"{name}={value}")]
    ignored = ",".join(variables)
    command = [str(gitlab_ci_local()), "--no-evaluate-rule-changes", "--ignore-predefined-vars", ignored]
    command += [] if schema else ["--no-json-schema-validation"]
    return subprocess.run(
        [*command, *words, *arguments], cwd=checkout, capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(checkout)},
    )  # fmt: skip


def jobs(checkout: Path, **variables: str) -> dict[str, str]:
    """Return the jobs that a pipeline has: name -> when."""
    result = local(checkout, "--list-json", **variables)
    assert result.returncode == 0, result.stderr
    return {job["name"]: job["when"] for job in listed(result.stdout) if job["when"] != "never"}


def listed(output: str) -> list[dict[str, Any]]:
    """Return the jobs that gitlab-ci-local lists, also those that don't run."""
    found: list[dict[str, Any]] = json.loads(output[output.index("[\n") :])
    return found


@pytest.fixture(scope="session")
def expanded(checkout: Path) -> dict[str, Any]:
    """Return the pipeline with includes, inputs and extends carried out."""
    result = local(checkout, "--preview", **BRANCH)
    assert result.returncode == 0, result.stderr
    loaded: dict[str, Any] = yaml.safe_load(result.stdout)
    return loaded


def test_gitlab_s_schema_takes_it(checkout: Path) -> None:
    result = local(checkout, "--list", schema=True, **BRANCH)
    assert result.returncode == 0, result.stderr
    assert "json schema validated" in result.stdout + result.stderr


def test_the_schema_is_looked_at(checkout: Path) -> None:
    wrong = (checkout / ".gitlab-ci.yml").read_text().replace("interruptible: true", "interruptible: perhaps")
    assert "perhaps" in wrong
    (checkout / "wrong.yml").write_text(wrong)
    result = local(checkout, "--list", "--file", "wrong.yml", schema=True, **BRANCH)
    assert result.returncode != 0
    assert "interruptible" in result.stdout + result.stderr


@pytest.mark.parametrize("builder", ["buildkit", "docker", "dind", "buildah"])
def test_every_builder_is_an_input(checkout: Path, builder: str) -> None:
    result = local(checkout, "--preview", "--input", f"builder={builder}", **BRANCH)
    assert result.returncode == 0, result.stderr
    pipeline = yaml.safe_load(result.stdout)
    builds = [pipeline[f"build-{name}"] for name in IMAGES]
    assert {build["variables"]["BUILDER"] for build in builds} == {"docker" if builder == "dind" else builder}
    services = [build.get("services") for build in builds]
    aliased = [{"name": "docker.io/library/docker:29-dind", "alias": "docker"}]
    assert services == [aliased if builder == "dind" else None] * len(IMAGES)


def test_another_builder_is_refused(checkout: Path) -> None:
    assert local(checkout, "--preview", "--input", "builder=kaniko", **BRANCH).returncode != 0


def test_a_merge_request_changes_no_cluster(checkout: Path) -> None:
    found = jobs(checkout, STAGING_URL="https://staging.example.org", COSIGN_PRIVATE_KEY="key", **MERGE_REQUEST)
    builds = {f"{action}-{name}" for action in ("build", "scan") for name in IMAGES}
    assert set(found) == {"lint", "migrations", "unit", "molecule", "platform-check"} | builds


def test_a_fork_gets_no_way_to_the_cluster(checkout: Path) -> None:
    found = jobs(checkout, **{**MERGE_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "8"})
    assert "platform-check" not in found


def test_a_merge_deploys(checkout: Path) -> None:
    found = jobs(checkout, STAGING_URL="https://staging.example.org", **BRANCH)
    assert {"platform-apply", "staging"} <= set(found)
    assert (found["staging"], found["production"], found["roll-back-production"]) == ("on_success", "manual", "manual")
    assert not [name for name in found if name.startswith("sign-")]


@pytest.mark.parametrize("source", ["schedule", "web", "api", "trigger", "pipeline"])
def test_without_a_push_nothing_is_built_or_deployed(checkout: Path, source: str) -> None:
    wanted = {**BRANCH, "CI_PIPELINE_SOURCE": source, "COSIGN_PRIVATE_KEY": "key", "AUTO_PRODUCTION": "true"}
    found = jobs(checkout, STAGING_URL="https://staging.example.org", **wanted)
    assert set(found) == {"lint", "migrations", "unit", "upgrade", "roll-back-production"}


def test_the_last_release_is_upgraded_by_a_click_and_beside_no_other_cluster(
    checkout: Path, expanded: dict[str, Any]
) -> None:
    assert jobs(checkout, **BRANCH)["upgrade"] == "manual"
    job = expanded["upgrade"]
    assert job["rules"][0]["allow_failure"]
    assert job["resource_group"] == expanded["molecule"]["resource_group"]
    assert job["tags"] == expanded["molecule"]["tags"]
    # The tags, by which the last release is found.
    assert job["variables"]["GIT_DEPTH"] in {0, "0"}


def test_production_waits_for_nobody_if_that_is_wanted(checkout: Path) -> None:
    assert jobs(checkout, AUTO_PRODUCTION="true", **BRANCH)["production"] == "on_success"


def test_without_an_address_there_is_no_staging(checkout: Path) -> None:
    assert "staging" not in jobs(checkout, **BRANCH)


def test_with_a_key_images_are_signed(checkout: Path) -> None:
    found = jobs(checkout, COSIGN_PRIVATE_KEY="key", **BRANCH)
    assert {f"sign-{name}" for name in IMAGES} <= set(found)


def test_with_the_pipeline_s_identity_images_are_signed_without_a_key(checkout: Path) -> None:
    result = local(checkout, "--list-json", "--input", "sign=identity", **BRANCH)
    assert result.returncode == 0, result.stderr
    signing = {job["name"] for job in listed(result.stdout) if job["when"] == "on_success"}
    assert {f"sign-{name}" for name in IMAGES} <= signing


def test_what_stops_the_pipeline_is_an_input(checkout: Path) -> None:
    result = local(checkout, "--preview", "--input", "scan_fail_on=low", **BRANCH)
    assert result.returncode == 0, result.stderr
    pipeline = yaml.safe_load(result.stdout)
    assert {pipeline[f"scan-{name}"]["variables"]["SCAN_FAIL_ON"] for name in IMAGES} == {"low"}


def test_a_push_does_not_cancel_what_an_earlier_one_has_to_deploy() -> None:
    *_, pipeline = yaml.safe_load_all((PROJECT / ".gitlab-ci.yml").read_text())
    rules = {rule["if"]: rule.get("auto_cancel") for rule in pipeline["workflow"]["rules"]}
    assert rules["$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"] == {"on_new_commit": "none"}
    assert rules['$CI_PIPELINE_SOURCE == "merge_request_event"'] is None


def test_gitlab_takes_the_name_of_what_is_attached_to_a_merge_request(expanded: dict[str, Any]) -> None:
    # Its schema doesn't say so: lib/gitlab/ci/config/entry/artifacts.rb, EXPOSE_AS_REGEX.
    names = [job["artifacts"]["expose_as"] for job in expanded.values() if "expose_as" in str(job)]
    assert len(names) == 1
    assert [name for name in names if not re.fullmatch(r"\w[-\w ]*", name)] == []


def test_a_version_is_on_staging_before_the_platform_of_production_is_changed(expanded: dict[str, Any]) -> None:
    stages = expanded["stages"]
    assert stages.index("staging") < stages.index(expanded["platform-apply"]["stage"]) < stages.index("production")
    # A changed chart alone goes the application's way.
    [rule] = expanded["platform-apply"]["rules"]
    assert not [path for path in rule["changes"] if path.startswith("charts")]
    assert [path for path in expanded["staging"]["rules"][0]["changes"] if path.startswith("charts")]


def test_the_platform_of_another_cluster_has_jobs_of_its_own(checkout: Path) -> None:
    text = (checkout / ".gitlab-ci.yml").read_text()
    more = """  - local: /ci/platform.yml
    inputs: {name: platform-staging, stage: verify, resource_group: staging, inventory: inventories/staging}
"""
    (checkout / "two.yml").write_text(
        text.replace("  - local: /ci/platform.yml\n", f"  - local: /ci/platform.yml\n{more}")
    )
    result = local(checkout, "--preview", "--file", "two.yml", **BRANCH)
    assert result.returncode == 0, result.stderr
    pipeline = yaml.safe_load(result.stdout)
    one, other = (pipeline[f"{name}-apply"] for name in ("platform", "platform-staging"))
    assert (one["resource_group"], other["resource_group"]) == ("production", "staging")
    assert (one["environment"]["name"], other["environment"]["name"]) == ("platform", "platform-staging")
    assert (one["variables"]["INVENTORY"], other["variables"]["INVENTORY"]) == (
        "inventories/prod",
        "inventories/staging",
    )


def test_what_changes_a_cluster_is_a_deployment(expanded: dict[str, Any]) -> None:
    environments = {name: job["environment"] for name, job in expanded.items() if "environment" in job}
    only_looks = [name for name, environment in environments.items() if environment.get("action", "start") != "start"]
    assert only_looks == ["platform-check"]


def test_what_touches_production_does_so_one_after_the_other(expanded: dict[str, Any]) -> None:
    changing = [name for name, job in expanded.items() if "'production'" in str(job) and "script" in job]
    assert sorted(changing) == ["platform-apply", "production", "roll-back-production"]
    assert {expanded[name]["resource_group"] for name in changing} == {"production"}


def test_the_application_and_the_platform_have_accounts_of_their_own(expanded: dict[str, Any]) -> None:
    environments = {name: job["environment"]["name"] for name, job in expanded.items() if "environment" in job}
    assert environments == {
        "platform-check": "platform",
        "platform-apply": "platform",
        "staging": "staging",
        "production": "production",
        "roll-back-production": "production",
    }


def test_the_scanner_is_pinned_by_digest(expanded: dict[str, Any]) -> None:
    images = {expanded[f"scan-{name}"]["image"]["name"] for name in IMAGES}
    assert len(images) == 1
    assert re.fullmatch(r"[^@]+:v[^@]+@sha256:[0-9a-f]{64}", images.pop())


def test_the_scanner_s_image_needs_no_bin_sh(expanded: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    for name in ("scan.sh", "login.sh"):
        text = (PROJECT / "ci" / name).read_text()
        (tmp_path / "ci" / name).write_text(text.replace("#!/bin/sh", "#!/there/is/no/sh", 1))
        (tmp_path / "ci" / name).chmod(0o755)
    (tmp_path / "build" / "ci").mkdir(parents=True)
    (tmp_path / "build" / "ci" / "exchange.image").write_text("registry.example.org/exchange@sha256:1\n")
    (tmp_path / "grype").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "grype").chmod(0o755)
    (line,) = expanded["scan-exchange"]["script"]
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CI_REGISTRY": "registry.example.org",
        "CI_REGISTRY_USER": "ci",
        "CI_REGISTRY_PASSWORD": "secret",
    }
    result = subprocess.run(
        ["sh", "-ec", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("registry:registry.example.org/exchange@sha256:1 ")
    assert "registry.example.org" in (tmp_path / ".docker" / "config.json").read_text()


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def test_jobs_only_call_make_targets_and_scripts(expanded: dict[str, Any]) -> None:
    called = [
        (name, line)
        for name, job in expanded.items()
        if isinstance(job, dict) and not name.startswith(".")
        for line in job.get("script", [])
    ]
    assert len(called) > 10
    for name, line in called:
        # Where a script's first line names a shell that an image doesn't have.
        program, *words = line.removeprefix("sh ").split()
        if program == "make":
            assert set(words) <= make_targets(), name
        else:
            script = PROJECT / program
            assert re.fullmatch(r"(\./)?ci/[a-z]+\.sh", program), name
            assert os.access(script, os.X_OK), f"{name}: {script}"


def test_every_owned_image_is_built(expanded: dict[str, Any]) -> None:
    from cluster.images import OWNED

    contexts = {expanded[f"build-{name}"]["script"][0].split('"')[-2] for name in IMAGES}
    assert {(PROJECT / context).resolve() for context in contexts} == set(OWNED.values())
