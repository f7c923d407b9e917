"""ansible-runner, which AWX runs playbooks with, installs, verifies and uninstalls, as it would in a pod.

It has a copy of the committed project (`git archive`), an inventory that names a kubeconfig which isn't there, and what
the credential type of playbooks/controller.yml injects; no home directory, and a user that no password file knows.
First it gets a token that the cluster doesn't know, and an inventory that means another cluster: both times nothing may
change.

On the demo's cluster: `CLUSTER=demo python tests/prove/runner.py`. Result: build/prove/runner.json.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Template

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "prove")]

import inventory
from cluster import docker, kind
from cluster.paths import tools
from cluster.shell import Failure, fail, run, say, step
from state import differences, snapshot

CLUSTER = kind.CLUSTERS[os.environ.get("CLUSTER", "test")]
RESULTS = PROJECT / "build" / "prove" / "runner.json"
# A user without a name or a home, as OpenShift and many a pod have it.
USER = 54321
ACCOUNT = "exchange-runner-test"
TYPES = PROJECT / "roles" / "controller" / "vars" / "main.yml"


def image(folder: Path) -> Path:
    """Make what an execution environment's image holds, readable by everybody; return its folder of programs."""
    named = os.environ.get("RUNNER_PYTHON", "/usr/bin/python3")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    said = run([named, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]).strip()
    if said != version:
        raise Failure(f"{named} is {said}: name a {version} that any user may run in RUNNER_PYTHON")
    run([named, "-m", "venv", "--without-pip", folder])
    packages = sysconfig.get_paths()["purelib"]
    (folder / "lib" / version / "site-packages" / "image.pth").write_text(f"{packages}\n")
    program = folder / "bin" / "ansible-playbook"
    program.write_text(
        f"#!{folder}/bin/python\nimport sys\nfrom ansible.cli.playbook import main\n\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    shutil.copy((tools() / "helm").resolve(), folder / "bin" / "helm")
    return folder / "bin"


def account() -> str:
    """Make a service account that may do everything, as AWX's would be made; return a token of it."""
    name = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": "default"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "default"}],
    }
    kind.apply(CLUSTER, [name, binding])
    return kind.kubectl(CLUSTER, "-n", "default", "create", "token", ACCOUNT, "--duration=3h").strip()


def no_account() -> None:
    """Remove it."""
    kind.kubectl(CLUSTER, "delete", "clusterrolebinding", ACCOUNT, "--ignore-not-found")
    kind.kubectl(CLUSTER, "-n", "default", "delete", "serviceaccount", ACCOUNT, "--ignore-not-found")


class RoleLoader(yaml.SafeLoader):
    """YAML with Ansible's texts that are templates of somebody else's."""


RoleLoader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def injected(folder: Path, token: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the environment and the variables that the credential type by a token injects."""
    cluster = yaml.safe_load(CLUSTER.kubeconfig.read_text())["clusters"][0]["cluster"]
    ca = folder / "ca.crt"
    ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    fields = {"host": cluster["server"], "token": token, "tower": {"filename": {"ca": str(ca)}}}
    role = yaml.load(TYPES.read_text(), RoleLoader)  # noqa: S506 - a safe one, with texts more
    injectors = role["__controller_types"][0]["injectors"]
    environment, variables = (
        {name: Template(text).render(fields) for name, text in injectors[part].items()}
        for part in ("env", "extra_vars")
    )
    return environment, variables


class Runner:
    """Runs of one project copy."""

    def __init__(self, folder: Path, token: str) -> None:
        """Lay out what AWX lays out for a job."""
        self.folder, self.token = folder, token
        self.programs = image(folder / "image")
        self.results: list[dict[str, Any]] = []
        (folder / "project").mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=PROJECT, stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", folder / "project"], input=archive.stdout, check=True)
        # As AWX would import it: with a kubeconfig that people have and AWX hasn't. The image has its own Helm.
        inventory.write(
            CLUSTER,
            folder / "inventory",
            platform_kubeconfig="~/.kube/not-here",
            platform_context="somebody-s",
            exchange_app_helm_binary="helm",
        )
        (folder / "env").mkdir()

    def play(self, playbook: str, *, token: str = "", **variables: Any) -> tuple[int, str]:
        """Run a playbook; return its exit code and its output."""
        environment, given = injected(self.folder, token or self.token)
        (self.folder / "env" / "envvars").write_text(yaml.safe_dump(environment))
        values = {**given, "verify_report_directory": str(self.folder / "report"), **variables}
        (self.folder / "env" / "extravars").write_text(yaml.safe_dump(values))
        run(["chown", "-R", f"{USER}:{USER}", self.folder])
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "-i"]
        # env -i: neither HOME nor anything of whoever starts this.
        command += [f"PATH={self.programs}:/usr/bin:/bin", "LANG=C.UTF-8", "ANSIBLE_FORCE_COLOR=0"]
        command += [str(self.programs / "python"), "-m", "ansible_runner", "run", str(self.folder), "-p", playbook]
        begun = time.monotonic()
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        if environment["K8S_AUTH_API_KEY"] in output:
            raise Failure(f"{playbook}: the token stands in the output")
        found = re.search(r"changed=(\d+)", output)
        changed = int(found[1]) if found else -1
        self.results.append(
            {
                "playbook": playbook,
                "code": done.returncode,
                "changed": changed,
                "seconds": round(time.monotonic() - begun, 1),
            }
        )
        say(f"    {self.results[-1]}")
        return done.returncode, output

    def succeeds(self, playbook: str, *, unchanged: bool = False) -> str:
        """Run a playbook that must succeed, if asked for without a change."""
        code, output = self.play(playbook)
        if code != 0 or (unchanged and self.results[-1]["changed"] != 0):
            raise Failure(f"{playbook} ended with {self.results[-1]}:\n{output[-4000:]}")
        return output

    def is_refused(self, playbook: str, said: str, **arguments: Any) -> None:
        """Run a playbook that must stop before any change."""
        before = snapshot(CLUSTER)
        code, output = self.play(playbook, **arguments)
        flat = " ".join(output.split())
        if code == 0 or said not in flat or "othing has been changed" not in flat or self.results[-1]["changed"] != 0:
            raise Failure(f"{playbook} should have stopped with {said!r}:\n{output[-4000:]}")
        if found := differences(before, snapshot(CLUSTER)):
            raise Failure(f"{playbook} was refused, and yet: {found}")


def campaign(runner: Runner) -> None:
    """Refused twice, then site, verify, uninstall, and everything back."""
    with step("With the token of another cluster, and for another cluster", 60):
        stranger = ".".join(secrets.token_urlsafe(40) for _ in range(3))
        for playbook in ("site.yml", "playbooks/verify.yml", "playbooks/uninstall.yml"):
            runner.is_refused(playbook, "Unauthorized", token=stranger)
            runner.is_refused(playbook, "wrong cluster", platform_cluster_uid="11111111-2222-3333-4444-555555555555")
    with step("site.yml, twice", 300):
        runner.succeeds("site.yml")
        runner.succeeds("site.yml", unchanged=True)
    before = snapshot(CLUSTER)
    with step("verify.yml", 180):
        runner.succeeds("playbooks/verify.yml")
    with step("uninstall.yml, twice", 180):
        output = runner.succeeds("playbooks/uninstall.yml")
        if "data, in the volume" not in " ".join(output.split()):
            raise Failure(f"uninstall.yml lists no data that it left:\n{output[-4000:]}")
        runner.succeeds("playbooks/uninstall.yml", unchanged=True)
    with step("site.yml on what was left", 300):
        runner.succeeds("site.yml")
        if found := differences(before, snapshot(CLUSTER)):
            raise Failure("after uninstall and site it is not as before:\n" + "\n".join(found))


def main() -> int:
    """Make what is missing, run, and keep the result."""
    if os.geteuid() != 0:
        raise Failure("this has to become another user: run it as root")
    os.environ["PATH"] = f"{PROJECT}/.venv/bin:{os.environ['PATH']}"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    kind.refuse_existing()
    docker.ensure()
    kind.up(CLUSTER)
    folder = Path(tempfile.mkdtemp(prefix="runner-", dir="/tmp"))
    folder.chmod(0o700)
    try:
        runner = Runner(folder, account())
        try:
            campaign(runner)
        finally:
            RESULTS.write_text(json.dumps({"user": USER, "runs": runner.results}, indent=1))
    finally:
        no_account()
        shutil.rmtree(folder)
    say(f"{len(runner.results)} runs of ansible-runner without a home ended as they should; {RESULTS}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as error:
        sys.exit(fail(str(error)))
