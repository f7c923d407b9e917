"""Build pinned programs from Go modules, once, into the cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.paths import HERE, cache, tools
from cluster.shell import Failure, run, say, step


@dataclass(frozen=True)
class Program:
    """Programs that one Go module builds.

    `minutes` is how long that usually takes on two cores; `cluster`, whether a cluster or its tools need it;
    `manifest`, a file beside this one from which the module, run, generates the sources.
    """

    name: str
    module: str
    version: str
    packages: tuple[str, ...] = (".",)
    ldflags: str = ""
    tags: str = ""
    output: str = ""
    minutes: float = 1
    cluster: bool = True
    manifest: str = ""

    @property
    def key(self) -> str:
        """Return what the result depends on, short."""
        generated = [(HERE / self.manifest).read_text()] if self.manifest else []
        inputs = json.dumps(
            [self.module, self.version, self.packages, self.ldflags, self.tags, self.output, *generated]
        )
        return f"{self.name}-{self.version}-{hashlib.sha256(inputs.encode()).hexdigest()[:8]}"

    @property
    def folder(self) -> Path:
        """Return where the built programs are."""
        return cache() / "go" / self.key


def programs() -> dict[str, Program]:
    """Return what versions.yml lists, by name."""
    listed = yaml.safe_load((HERE / "versions.yml").read_text())["binaries"]
    return {item["name"]: Program(**{**item, "packages": tuple(item.get("packages", ["."]))}) for item in listed}


def kubernetes_version() -> str:
    """Return the Kubernetes version that is built and run, such as v1.37.2."""
    version: str = yaml.safe_load((HERE / "versions.yml").read_text())["kubernetes"]
    return version


def wrapper_go_mod(upstream: str, module: str, version: str) -> str:
    """Return the go.mod of a module of ours that builds `module` as its own go.mod would.

    `go install module@version` refuses modules with replace directives, so they are taken over. Relative ones
    point into the module's repository: Kubernetes publishes those as v0.N.P for its v1.N.P, others under the
    version that the go.mod requires already.

    Args:
        upstream: text of the module's go.mod.
        module: its path.
        version: its version, such as v1.37.2.
    """
    go = re.search(r"^go (\S+)", upstream, re.MULTILINE)
    godebug = re.findall(r"^godebug (?:\((?:.|\n)*?\n\)|.*)$", upstream, re.MULTILINE)
    replaces = [
        (old.removeprefix("replace ").strip(), new)
        for old, new in re.findall(r"^\s*(?:replace )?([^\s/]\S*(?: v\S+)?) => (\S+ v\S+)", upstream, re.MULTILINE)
    ]
    if module == "k8s.io/kubernetes":
        staged = re.findall(r"^\s*(k8s\.io/\S+) v0\.0\.0(?:\s*//.*)?$", upstream, re.MULTILINE)
        replaces += [(name, f"{name} v0.{version.removeprefix('v1.')}") for name in sorted(set(staged))]
    lines = ["module build", "", f"go {go[1] if go else '1.22'}", "", *godebug, "", f"require {module} {version}", ""]
    lines += ["replace (", *(f"\t{old} => {new}" for old, new in replaces), ")"] if replaces else []
    return "\n".join(lines) + "\n"


def build(program: Program) -> Path:
    """Build a program unless the cache has it, and return its folder."""
    if (program.folder / ".complete").exists():
        return program.folder
    if shutil.which("go") is None:
        raise Failure(
            "Go 1.26 or newer is needed to build the cluster from source: install it, or make a registry reachable"
        )
    program.folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        step(f"Build {program.name} {program.version} from source", program.minutes * 60),
        tempfile.TemporaryDirectory(dir=program.folder.parent) as work,
    ):
        # Another program's end of the build would take the shared sources away from one that no cluster waits for.
        kept = sources() if program.cluster else Path(work) / "sources"
        env = {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=mod -modcacherw",
            "GOTOOLCHAIN": os.environ.get("GOTOOLCHAIN", "auto"),
            # Ten gigabytes that are of no use once everything is built: forget_sources() removes them.
            "GOCACHE": str(kept / "build"),
            "GOMODCACHE": str(kept / "modules"),
        }
        # Apart from the sources: generated modules are tidied, and everything below them would be looked at.
        module, named = Path(work) / "module", f"{program.module}@{program.version}"
        module.mkdir()
        if program.manifest:
            generate: list[str | Path] = ["go", "run", named, "--skip-compilation", "--config", HERE / program.manifest]
            run(generate, cwd=module, env=env)
        else:
            found = json.loads(run(["go", "mod", "download", "-json", named], cwd=module, env=env))
            go_mod = wrapper_go_mod(Path(found["GoMod"]).read_text(), program.module, program.version)
            (module / "go.mod").write_text(go_mod)
        out = Path(work) / "out"
        out.mkdir()
        tags = ["-tags", program.tags] if program.tags else []
        target = str(out / program.output) if program.output else f"{out}/"
        run(
            [
                "go",
                "build",
                "-trimpath",
                *tags,
                "-ldflags",
                f"-s -w {program.ldflags}",
                "-o",
                target,
                *program.packages,
            ],
            cwd=module,
            env=env,
        )
        (out / ".complete").touch()
        shutil.rmtree(program.folder, ignore_errors=True)
        out.rename(program.folder)
    return program.folder


def sources() -> Path:
    """Return where Go keeps modules and compiled packages between the builds of a cold start."""
    return cache() / "go-sources"


def forget_sources() -> None:
    """Remove what only builds need, once every program of a cluster is built."""
    if all((program.folder / ".complete").exists() for program in programs().values() if program.cluster):
        shutil.rmtree(sources(), ignore_errors=True)


def install_tools() -> None:
    """Link kind, kubectl and helm into the tools folder, building what is missing."""
    known = programs()
    tools().mkdir(parents=True, exist_ok=True)
    for name, binary in (("kind", "kind"), ("kubernetes", "kubectl"), ("helm", "helm")):
        target = build(known[name]) / binary
        link = tools() / binary
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
            say(f"    {link} -> {program_label(known[name])}")


def program_label(program: Program) -> str:
    """Return name and version for a person."""
    return f"{program.name} {program.version}"
