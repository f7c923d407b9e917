"""Push to production: .gitlab-ci.yml builds, pushes and deploys versions of the application, good ones and bad ones.

gitlab-ci-local runs the jobs build-exchange, staging and production of a clone, with docker as the builder, a registry
on loopback that the cluster's nodes pull from, and the deployer's kubeconfig as the only way to the cluster. Both
environments are the same release here. A bad version must turn the pipeline red with its reason in the last lines, and
leave the version before serving; somebody asks for a page all the while. Then a merge request changes the platform's
inventory: platform-check must say what that would change, without a secret and without changing it; and platform-apply,
on merge of an inventory that says what is there, changes nothing and leaves the tag. What is committed is tried.
VERSIONS are those that are tried (all, by their names, between commas). CLUSTER names the cluster (test), which is made
if need be, and removed if all went well. Results: build/prove/pipeline.json, all output in the folder beside it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
import yaml

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(Path(__file__).parent)]

import inventory
from cluster import docker, images, kind, registry
from cluster.kind import kubectl
from cluster.npm import gitlab_ci_local
from cluster.paths import tools
from cluster.shell import Failure, fail, repeated, run, say, step
from with_backups import CLUSTER, playbook

RESULTS = PROJECT / "build" / "prove" / "pipeline.json"
FOLDER = RESULTS.parent / "pipeline"
CHECKOUT, CREDENTIALS, AUTHORITY = FOLDER / "checkout", FOLDER / "deployer", FOLDER / "ca.crt"
REPOSITORY = f"{registry.ADDRESS}/exchange"
DOMAIN = yaml.safe_load((PROJECT / "inventories" / "kind" / "group_vars" / "all" / "platform.yml").read_text())[
    "platform_domain"
]
PAGE = "/accounts/login/"
JOBS = ("build-exchange", "staging", "production")
DEFAULTS = yaml.safe_load((PROJECT / "roles" / "platform" / "defaults" / "main.yml").read_text())
# A failed migration is tried four times, with pauses between.
TIMEOUT_SECONDS = 240
# What the platform is installed with, beside the cluster's inventory.
INSTALLED: dict[str, Any] = {
    "platform_components": [*DEFAULTS["platform_components"], "deployer"],
    "exchange_app_image": {"repository": REPOSITORY, "tag": "first"},
    "exchange_app_timeout_seconds": TIMEOUT_SECONDS,
    "exchange_app_migrate_deadline_seconds": TIMEOUT_SECONDS - 30,
    "deployer_kubeconfig": str(CREDENTIALS),
}
# The account that site.yml takes is another one than that of deployments.
PLATFORM = {"INVENTORY": "inventories/campaign", "KUBECONFIG": str(CLUSTER.kubeconfig)}
MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_COMMIT_BRANCH": "",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
    "CI_PROJECT_ID": "7",
}
# As long as a pod goes on serving that has been told to stop: exchange_app_pre_stop_seconds.
FORGET_SECONDS = 10
NEVER_APPLIED = '''"""Fails, on purpose."""

from django.db import migrations


def refuse(_apps: object, _editor: object) -> None:
    raise RuntimeError("this migration fails on purpose")


class Migration(migrations.Migration):
    dependencies = [("operations", "{newest}")]
    operations = [migrations.RunPython(refuse, migrations.RunPython.noop)]
'''


@dataclass(frozen=True)
class Trial:
    """A version: what is changed, and what the pipeline must say if it must be red."""

    name: str
    change: Callable[[], None]
    reason: str = ""


@dataclass
class Visitor:
    """Counts the answers to somebody who asks for a page all the while."""

    answers: int = 0
    failed: list[str] = field(default_factory=list)


def replace(file: str, old: str, new: str) -> None:
    """Change a file of the clone."""
    path = CHECKOUT / file
    text = path.read_text()
    if old not in text:
        raise Failure(f"{file} has no {old!r} any more: tests/prove/pipeline.py changes it")
    path.write_text(text.replace(old, new))


def headline(text: str) -> None:
    """Give the login page another headline."""
    path = CHECKOUT / "app" / "templates" / "account" / "login.html"
    path.write_text(re.sub(r"<h1>.*</h1>", f"<h1>{text}</h1>", path.read_text()))


def never_ready() -> None:
    """Make a version whose readiness fails."""
    replace("app/operations/health.py", "reason = self.readiness.reason()", 'reason = "on purpose"')


def failing_migration() -> None:
    """Make a version whose migration fails."""
    folder = CHECKOUT / "app" / "operations" / "migrations"
    newest = max(path.stem for path in folder.glob("0*.py"))
    (folder / "9999_fails.py").write_text(NEVER_APPLIED.replace("{newest}", newest))


def nameless() -> None:
    """Make a version that comes up, and whose pages don't say which one it is."""
    replace("app/templates/base.html", "Version {{ app_version }}", "Version")


TRIALS = (
    Trial("good", lambda: headline("The first version")),
    Trial("readiness fails", never_ready, "Readiness probe failed: HTTP probe failed with statuscode: 503"),
    Trial("migration fails", failing_migration, "RuntimeError: this migration fails on purpose"),
    Trial("smoke test fails", nameless, "smoke test: "),
    Trial("good again", lambda: headline("The second version")),
)


def chosen(names: str) -> list[Trial]:
    """Return the versions that are named between commas, in their order; of no name all.

    Raises:
        Failure: there is no such version, or fewer than two good ones, without which there is nothing to go back to.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()] or [trial.name for trial in TRIALS]
    unknown = set(wanted) - {trial.name for trial in TRIALS}
    found = [trial for trial in TRIALS if trial.name in wanted]
    if unknown or sum(not trial.reason for trial in found) < 2:
        known = ", ".join(trial.name for trial in TRIALS)
        raise Failure(f"VERSIONS is {names!r}: expected some of {known}; two good ones among them")
    return found


def git(*words: str) -> str:
    """Run git in the clone."""
    author = ["-c", "user.name=developer", "-c", "user.email=developer@example.org"]
    return run(["git", *author, *words], cwd=CHECKOUT).strip()


def clone() -> None:
    """Make the clone, as a developer has it after a fetch."""
    shutil.rmtree(CHECKOUT, ignore_errors=True)
    run(["git", "clone", "--quiet", "--no-hardlinks", PROJECT, CHECKOUT])
    git("checkout", "--quiet", "-B", "main")
    git("remote", "set-url", "origin", "https://gitlab.example.org/exchange/exchange.git")
    pushed()


def pushed() -> None:
    """Let the remote's main be ours: what comes next is compared with it."""
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")


def pool() -> urllib3.HTTPSConnectionPool:
    """Return connections to the application through the ingress."""
    return urllib3.HTTPSConnectionPool(
        CLUSTER.address, assert_hostname=DOMAIN, server_hostname=DOMAIN, ca_certs=str(AUTHORITY), retries=False
    )


def page() -> str:
    """Return the login page."""
    answer = pool().request("GET", PAGE, headers={"Host": DOMAIN}, timeout=10)
    return answer.data.decode()


@contextmanager
def visited() -> Iterator[Visitor]:
    """Ask for the page five times a second, each time on a new connection, while the block runs."""
    visitor = Visitor()

    def visit() -> None:
        visitor.answers += 1
        try:
            answer = pool().request("GET", PAGE, headers={"Host": DOMAIN}, timeout=10)
            if answer.status != 200:
                visitor.failed.append(f"{answer.status}")
        except urllib3.exceptions.HTTPError as error:
            visitor.failed.append(str(error))

    with repeated(visit, 0.2):
        yield visitor


def pipeline(*jobs: str, **others: str) -> subprocess.CompletedProcess[str]:
    """Run jobs of the clone's pipeline, some variables being others."""
    variables = {
        "CI_REGISTRY_IMAGE": registry.ADDRESS,
        "STAGING_URL": f"https://{DOMAIN}",
        "PRODUCTION_URL": f"https://{DOMAIN}",
        "AUTO_PRODUCTION": "true",
        "KUBECONFIG": str(CREDENTIALS),
        "CA_FILE": str(AUTHORITY),
        "SMOKE_ADDRESS": CLUSTER.address,
        "SMOKE_SECONDS": "30",
        # Debian's docker may have no BuildKit.
        "DOCKER_BUILDKIT": "0",
        **others,
    }
    inputs = {"builder": "docker", "build_options": "--network=host"}
    command = [str(gitlab_ci_local()), "--force-shell-executor", "--no-color"]
    command += ["--ignore-predefined-vars", ",".join(("CI_REGISTRY_IMAGE", *others))]
    command += [word for name, value in variables.items() for word in ("--variable", f"{name}={value}")]
    command += [word for name, value in inputs.items() for word in ("--input", f"{name}={value}")]
    environment = {**os.environ, "PATH": f"{tools()}:{os.environ['PATH']}"}
    return subprocess.run(
        [*command, *jobs], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip


def deployed() -> str:
    """Return the tag that the web pods should run."""
    image = kubectl(
        CLUSTER, "-n", "exchange", "get", "deployment", "exchange-web",
        "-o", "jsonpath={.spec.template.spec.containers[0].image}",
    )  # fmt: skip
    return image.rpartition(":")[2]


def last_lines(output: str) -> list[str]:
    """Return what a person sees at a pipeline's end."""
    return [line for line in output.splitlines() if line.strip()][-12:]


def problems(trial: Trial, code: int, lines: list[str], after: str, wanted: str) -> list[str]:
    """Return what isn't as it must be after a trial.

    Args:
        trial: what was tried.
        code: the pipeline's exit code.
        lines: its last lines.
        after: the tag that serves now.
        wanted: the tag that should.
    """
    found = []
    if (code != 0) != bool(trial.reason):
        found.append(f"the pipeline ended with {code}")
    if after != wanted:
        found.append(f"{after} serves, and not {wanted}")
    if trial.reason and not any("FAILED: " in line and trial.reason in line for line in lines):
        found.append(f"no FAILED line among the last ones has {trial.reason!r}")
    return found


def tried(trial: Trial) -> dict[str, Any]:
    """Commit a version, run the pipeline, and return what was seen."""
    git("checkout", "--quiet", "main")
    trial.change()
    git("add", "--all")
    git("commit", "--quiet", "--message", trial.name)
    commit, before, shown = git("rev-parse", "HEAD"), deployed(), page()
    begun = time.monotonic()
    with step(f"The pipeline of a version: {trial.name}", 120), visited() as visitor:
        result = pipeline(*JOBS)
    (FOLDER / f"{trial.name.replace(' ', '-')}.log").write_text(result.stdout)
    lines, after, now = last_lines(result.stdout), deployed(), page()
    found = problems(trial, result.returncode, lines, after, before if trial.reason else commit)
    if trial.reason and now_differs(shown, now):
        found.append("the page is another one than before")
    if not trial.reason and f"Version {commit}" not in now:
        found.append("the page does not show the new version")
    if visitor.failed or not visitor.answers:
        found.append(f"{len(visitor.failed)} of {visitor.answers} requests failed: {visitor.failed[:3]}")
    if trial.reason:
        # The developer takes it back.
        git("reset", "--quiet", "--hard", "HEAD~1")
    else:
        pushed()
    return {
        "version": trial.name,
        "exit_code": result.returncode,
        "seconds": round(time.monotonic() - begun, 1),
        "last_lines": lines,
        "served_before": before,
        "serves_now": after,
        "requests": visitor.answers,
        "requests_failed": len(visitor.failed),
        "problems": found,
    }


def now_differs(before: str, after: str) -> bool:
    """Say whether a page has changed, but for its form's token."""

    def plain(text: str) -> str:
        return re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", text)

    return plain(before) != plain(after)


def rolled_back(to: str) -> dict[str, Any]:
    """Press the button, and return what was seen."""
    with step("The job roll-back-production", 30), visited() as visitor:
        result = pipeline("roll-back-production")
    (FOLDER / "roll-back.log").write_text(result.stdout)
    found = [] if result.returncode == 0 else [f"the job ended with {result.returncode}"]
    # Until the ingress has forgotten them, pods that are going answer as ever.
    deadline = time.monotonic() + FORGET_SECONDS
    while not (shown := f"Version {to}" in page()) and time.monotonic() < deadline:
        time.sleep(0.5)
    if deployed() != to or not shown:
        found.append(f"{deployed()} serves, and its page {'does' if shown else 'does not'} name {to}")
    if visitor.failed:
        found.append(f"{len(visitor.failed)} of {visitor.answers} requests failed: {visitor.failed[:3]}")
    return {
        "version": "one click back",
        "exit_code": result.returncode,
        "last_lines": last_lines(result.stdout),
        "serves_now": deployed(),
        "requests": visitor.answers,
        "requests_failed": len(visitor.failed),
        "problems": found,
    }


def proposed() -> dict[str, Any]:
    """Propose to keep pods longer; return what the merge request's job said of it."""
    git("checkout", "--quiet", "-B", "proposal")
    write_inventory(exchange_app_pre_stop_seconds=11)
    git("add", "--all")
    git("commit", "--quiet", "--message", "Pods that go take requests for longer")
    before = generation()
    with step("The job platform-check of a merge request", 180):
        result = pipeline("platform-check", **PLATFORM, **MERGE_REQUEST)
    (FOLDER / "platform-check.log").write_text(result.stdout)
    diff = CHECKOUT / "build" / "ci" / "platform.diff"
    said = diff.read_text() if diff.exists() else ""
    found = [] if result.returncode == 0 else [f"the job ended with {result.returncode}"]
    if not re.search(r"preStopSeconds: 10 -> 11", said):
        found.append("what is attached does not say that preStopSeconds becomes 11")
    if generation() != before:
        found.append("the Deployment was changed by a check")
    found += [f"the value of {name} is in what is attached" for name, value in secrets() if value in said]
    git("checkout", "--quiet", "main")
    return {"version": "a merge request of the platform", **job_seen(result, found)}


def applied() -> dict[str, Any]:
    """Merge an inventory that says what is there; return what the job said."""
    write_inventory()
    git("add", "--all")
    git("commit", "--quiet", "--message", "The inventory")
    tag, before = deployed(), generation()
    with step("The job platform-apply", 180):
        result = pipeline("platform-apply", **PLATFORM)
    (FOLDER / "platform-apply.log").write_text(result.stdout)
    changed = re.search(r"changed=(\d+)", result.stdout)
    found = [] if result.returncode == 0 else [f"the job ended with {result.returncode}"]
    if not changed or changed[1] != "0":
        found.append(f"site.yml says {changed[0] if changed else 'nothing'}")
    if (deployed(), generation()) != (tag, before):
        found.append(f"the Deployment was changed: {deployed()} should run, and {tag} did")
    return {"version": "the platform", **job_seen(result, found)}


def job_seen(result: subprocess.CompletedProcess[str], found: list[str]) -> dict[str, Any]:
    """Return what results hold of a job."""
    return {
        "exit_code": result.returncode,
        "last_lines": last_lines(result.stdout),
        "serves_now": deployed(),
        "problems": found,
    }


def write_inventory(**variables: Any) -> None:
    """Put the cluster's inventory into the clone, with what the platform was installed with, and with these."""
    folder = CHECKOUT / PLATFORM["INVENTORY"]
    shutil.rmtree(folder, ignore_errors=True)
    inventory.write(CLUSTER, folder, **INSTALLED, **variables)


def generation() -> str:
    """Return how often the wanted state of the web pods was changed."""
    return kubectl(
        CLUSTER, "-n", "exchange", "get", "deployment", "exchange-web", "-o", "jsonpath={.metadata.generation}"
    )


def secrets() -> list[tuple[str, str]]:
    """Return the platform's secrets, by name."""
    found = []
    for namespace in ("exchange", "exchange-database", "exchange-platform"):
        listed = json.loads(kubectl(CLUSTER, "-n", namespace, "get", "secrets", "-o", "json"))["items"]
        for item in listed:
            if item["type"] == "helm.sh/release.v1":
                continue
            values = {
                key: base64.b64decode(text).decode(errors="replace") for key, text in item.get("data", {}).items()
            }
            # A user's name or a CA's certificate is none.
            found += [
                (f"{namespace}/{item['metadata']['name']}.{key}", value)
                for key, value in values.items()
                if re.search("password|key|token|secret", key) and value.strip()
            ]
    return found


def ready() -> None:
    """Make cluster and registry, and install the platform with the application from that registry."""
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    os.environ["ANSIBLE_FORCE_COLOR"] = "0"
    FOLDER.mkdir(parents=True, exist_ok=True)
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    registry.start(CLUSTER)
    built = next(image.reference for image in images.platform_images() if image.name == "exchange")
    registry.push(built, "exchange:first")
    with step("The whole platform, with a deployer", 120):
        playbook("site.yml", **INSTALLED, exchange_app_image_tag="first")
    secret = kubectl(CLUSTER, "-n", "exchange-platform", "get", "secret", "ingress-ca", "-o", "json")
    AUTHORITY.write_bytes(base64.b64decode(json.loads(secret)["data"]["tls.crt"]))


def main() -> int:
    """Try every version, and print what was seen."""
    versions = chosen(os.environ.get("VERSIONS") or "")
    ready()
    clone()
    # The timeout of a rollout that never ends is waited for: shorter here.
    replace("ci/app.yml", "default: 600", f"default: {TIMEOUT_SECONDS}")
    git("commit", "--quiet", "--all", "--message", "A shorter timeout")
    pushed()
    seen: list[dict[str, Any]] = []
    for trial in versions:
        keep(seen, tried(trial))
    keep(seen, rolled_back(next(one["serves_now"] for one in seen if one["exit_code"] == 0)))
    keep(seen, proposed())
    keep(seen, applied())
    for reference in run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY]).split():
        if not reference.endswith(":<none>"):
            run(["docker", "image", "rm", reference])
    wrong = [f"{one['version']}: {problem}" for one in seen for problem in one["problems"]]
    if wrong:
        return fail("\n".join(wrong))
    if CLUSTER is kind.CLUSTERS["test"]:
        kind.down(CLUSTER)
    return 0


def keep(seen: list[dict[str, Any]], one: dict[str, Any]) -> None:
    """Add what was seen to the results, and say it."""
    seen.append(one)
    RESULTS.write_text(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), "trials": seen}, indent=1))
    say(json.dumps({name: value for name, value in one.items() if name != "last_lines"}))
    say("\n".join(f"      {line}" for line in one.get("last_lines", [])[-4:]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
