"""Every image a cluster here needs: pulled where a registry is reachable, built where it isn't."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Literal

import yaml

from cluster import docker, gobuild
from cluster.paths import HERE, PROJECT, cache
from cluster.shell import Failure, run, say, step

BASE = "debian:trixie-slim"
STANDIN = "cryptoexchange/traefik-standin:3.6.12"
VERSITYGW = "cryptoexchange/versitygw:1.8.0"
Origin = Literal["upstream", "built here", "not to be had"]

# Images of the platform that this project owns, and the folder of each Dockerfile.
OWNED = {
    "postgres": PROJECT / "images" / "postgres",
    "postgres_exporter": PROJECT / "images" / "postgres_exporter",
    "pgbouncer": PROJECT / "images" / "pgbouncer",
    "backup": PROJECT / "images" / "backup",
    "exchange": PROJECT,
}
# Others' images that are built where they can't be pulled: from Go modules, whose version is the tag's,
FROM_GO = {
    "prometheus": "prometheus",
    "node_exporter": "node_exporter",
    "loki": "loki",
    "collector": "otelcol-contrib",
    "metrics_server": "metrics-server",
}
# and from Debian's packages, which have another version than the platform names: the tag that is true.
FROM_DEBIAN = {"alertmanager": "v0.28.1", "blackbox_exporter": "v0.26.0"}
# Those of the demo, which run on the control plane's node as well, or on workers alone.
ON_EVERY_NODE = ("node_exporter", "collector")
ON_WORKERS = ("prometheus", "loki", *FROM_DEBIAN)


@dataclass(frozen=True)
class PlatformImage:
    """An image of the platform and where it comes from on this machine."""

    name: str
    reference: str
    origin: Origin


@once
def registry_reachable() -> bool:
    """Say whether images can be pulled. REGISTRY=yes or no decides it; otherwise a tiny pull is tried."""
    decided = os.environ.get("REGISTRY", "")
    if decided not in {"", "yes", "no"}:
        raise Failure(f"REGISTRY is {decided!r}; allowed: yes, no, or unset to find out")
    if decided:
        return decided == "yes"
    tried = run(["timeout", "15", "docker", "pull", "-q", "registry.k8s.io/pause:3.10"], check=False)
    return bool(tried.strip())


def image_map() -> dict[str, dict[str, str]]:
    """Return `platform_images` as it is true on this machine: the roles' defaults, and the versions that Debian has."""
    defaults = yaml.safe_load((PROJECT / "roles" / "platform" / "defaults" / "main.yml").read_text())
    images: dict[str, dict[str, str]] = defaults["platform_images"]
    if registry_reachable():
        return images
    return {name: {**image, "tag": FROM_DEBIAN.get(name, image["tag"])} for name, image in images.items()}


def platform_images() -> list[PlatformImage]:
    """Return the images that the roles name and where each comes from."""
    built = {*OWNED} if registry_reachable() else {*OWNED, *FROM_GO, *FROM_DEBIAN}
    images = []
    for name, image in image_map().items():
        reference = f"{image['repository']}:{image['tag']}"
        origin: Origin = "built here" if name in built else "upstream" if registry_reachable() else "not to be had"
        images.append(PlatformImage(name, reference, origin))
    if not registry_reachable():
        images.append(PlatformImage("traefik_standin", STANDIN, "built here"))
    return images


def folder_digest(*paths: Path, extra: str = "") -> str:
    """Return a digest of files and folders: names, modes and content. Untracked build leftovers are left out."""
    digest = hashlib.sha256(extra.encode())
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if "__pycache__" in file.parts or file.suffix == ".pyc":
                continue
            digest.update(f"{file.relative_to(path.parent)}\0{file.stat().st_mode & 0o777}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def labelled(reference: str) -> str:
    """Return the digest of inputs that an image was built from, or nothing."""
    text = run(
        ["docker", "image", "inspect", "--format", '{{index .Config.Labels "build.inputs"}}', reference], check=False
    )
    return text.strip()


def docker_build(reference: str, context: Path, inputs: str, dockerfile: Path | None = None) -> None:
    """Build an image unless it has been built from the same inputs."""
    if labelled(reference) == inputs:
        return
    extra: list[str | Path] = ["--file", dockerfile] if dockerfile else []
    with step(f"Build the image {reference}", 120):
        # The legacy builder is there in every docker; the host's network reaches what the host reaches.
        run(
            [
                "docker",
                "build",
                "--network=host",
                f"--label=build.inputs={inputs}",
                "--tag",
                reference,
                *extra,
                context,
            ],
            env={"DOCKER_BUILDKIT": "0"},
        )
    # What carried the tag before.
    run(["docker", "image", "prune", "--force", "--filter=label=build.inputs"], check=False)


def ensure_base() -> str:
    """Make debian:trixie-slim from the machine's own package mirror where it can't be pulled; return its id."""
    if not docker.image_exists(BASE):
        if registry_reachable():
            run(["docker", "pull", BASE])
        else:
            with step(f"Make {BASE} with mmdebstrap", 60), tempfile.TemporaryDirectory() as work:
                bootstrap(Path(work))
    return run(["docker", "image", "inspect", "--format", "{{.Id}}", BASE]).strip()


def mirror() -> list[str]:
    """Return the Debian mirror that this machine's apt uses, or nothing: mmdebstrap then takes its own default."""
    for file in [*Path("/etc/apt/sources.list.d").glob("*"), Path("/etc/apt/sources.list")]:
        if not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            words = line.split()
            address = next((word for word in words if word.startswith("http")), "")
            if words and words[0] in {"URIs:", "deb"} and address.rstrip("/").endswith("/debian"):
                return [address]
    return []


def bootstrap(work: Path) -> None:
    """Debootstrap trixie into docker. It trusts what the machine trusts, so that pip works behind its proxy."""
    root = work / "root.tar"
    run(
        [
            "mmdebstrap",
            "--variant=minbase",
            "--include=ca-certificates",
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
            "--customize-hook=copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs",
            '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/usr/share/doc/* "$1"/usr/share/man/*',
            "trixie",
            str(root),
            *mirror(),
        ]
    )
    environment = ["--change", "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt", "--change", 'CMD ["bash"]']
    run(["docker", "import", *environment, str(root), BASE])


def scratch_image(reference: str, binary: Path, name: str, arguments: str = "", folder: str = "/usr/local/bin") -> None:
    """Build an image that is one static program."""
    inputs = hashlib.sha256(f"{binary}{arguments}{folder}".encode()).hexdigest()[:16]
    if labelled(reference) == inputs:
        return
    with tempfile.TemporaryDirectory() as work:
        shutil.copy(binary, Path(work) / name)
        entry = arguments or f'ENTRYPOINT ["{folder}/{name}"]\n'
        (Path(work) / "Dockerfile").write_text(f"FROM scratch\nCOPY {name} {folder}/{name}\nENV PATH={folder}\n{entry}")
        docker_build(reference, Path(work), inputs)


def control_plane_images() -> dict[str, str]:
    """Build what kubeadm asks for; return reference -> `every` or `control` (which nodes need it)."""
    known = gobuild.programs()
    kubernetes = gobuild.build(known["kubernetes"])
    version = gobuild.kubernetes_version()
    wanted = run([kubernetes / "kubeadm", "config", "images", "list", "--kubernetes-version", version]).split()
    ensure_base()
    result: dict[str, str] = {}
    for reference in wanted:
        name = reference.rsplit("/", 1)[1].split(":")[0]
        if name == "pause":
            scratch_image(reference, pause_binary(), "pause")
        elif name == "kube-proxy":
            inputs = hashlib.sha256(f"{kubernetes}".encode()).hexdigest()[:16]
            with tempfile.TemporaryDirectory() as work:
                shutil.copy(kubernetes / name, work)
                (Path(work) / "Dockerfile").write_text(
                    f"FROM {BASE}\nRUN apt-get update && apt-get install -y --no-install-recommends conntrack ipset"
                    f" iptables kmod nftables && rm -rf /var/lib/apt/lists/*\nCOPY {name} /usr/local/bin/{name}\n"
                )
                docker_build(reference, Path(work), inputs)
        elif name in {"etcd", "coredns"}:
            binary = gobuild.build(known[name]) / name
            entry = 'ENTRYPOINT ["/usr/local/bin/coredns"]\n' if name == "coredns" else 'CMD ["etcd"]\n'
            scratch_image(reference, binary, name, entry)
        else:
            scratch_image(reference, kubernetes / name, name, f'CMD ["{name}"]\n')
        result[reference] = "every" if name in {"pause", "kube-proxy", "coredns"} else "control"
    return result


def pause_binary() -> Path:
    """Build the program that holds a pod's namespaces."""
    folder = cache() / "go" / f"pause-{folder_digest(HERE / 'images' / 'pause')}"
    if not (folder / "pause").exists():
        folder.mkdir(parents=True, exist_ok=True)
        run(
            ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", folder / "pause", "."],
            cwd=HERE / "images" / "pause",
            env={"CGO_ENABLED": "0"},
        )
    return folder / "pause"


def node_image() -> str:
    """Build the node image and return its reference."""
    known = gobuild.programs()
    kubernetes, containerd = gobuild.build(known["kubernetes"]), gobuild.build(known["containerd"])
    references = control_plane_images()
    version = gobuild.kubernetes_version()
    node = HERE / "node"
    identities = "".join(labelled(reference) for reference in sorted(references))
    inputs = folder_digest(node, extra=f"{kubernetes}{containerd}{identities}")
    reference = f"cryptoexchange/kind-node:{version}"
    if labelled(reference) == inputs:
        return reference
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        work = Path(folder)
        (work / "bin").mkdir()
        (work / "kind" / "images").mkdir(parents=True)
        (work / "kind" / "manifests").mkdir()
        for name in ("kubeadm", "kubelet", "kubectl"):
            shutil.copy(kubernetes / name, work / "bin")
        for name in ("containerd", "ctr", "containerd-shim-runc-v2"):
            shutil.copy(containerd / name, work / "bin")
        (work / "kind" / "version").write_text(version)
        shutil.copy(node / "default-storage.yaml", work / "kind" / "manifests")
        for group in ("every", "control"):
            members = [ref for ref, where in references.items() if where == group]
            run(["docker", "save", "--output", work / "kind" / "images" / f"{group}-node.tar", *members])
        pause = next(ref for ref in references if "/pause:" in ref)
        (work / "containerd.toml").write_text((node / "containerd.toml").read_text().replace("@PAUSE@", pause))
        for name in ("entrypoint", "local-volumes", "Dockerfile"):
            shutil.copy(node / name, work)
        docker_build(reference, work, inputs)
    return reference


def build_owned(name: str) -> str:
    """Build an image that the project owns and return its reference."""
    image = next(image for image in platform_images() if image.name == name)
    base = ensure_base()
    context = OWNED[name]
    if name == "exchange":
        paths = [
            PROJECT / "Dockerfile",
            PROJECT / "app",
            PROJECT / ".dockerignore",
            PROJECT / "requirements" / "app.lock",
        ]
        inputs = folder_digest(*paths, extra=base)
    else:
        inputs = folder_digest(context, extra=base)
    docker_build(image.reference, context, inputs)
    return image.reference


def build_others(names: Sequence[str]) -> list[str]:
    """Build the images of others' programs that can't be pulled here, under their own names; return the references."""
    references = {image.name: image.reference for image in platform_images()}
    for name in names:
        if name in FROM_GO:
            program = gobuild.build(gobuild.programs()[name]) / FROM_GO[name]
            scratch_image(references[name], program, FROM_GO[name], folder="/bin")
        else:
            context = HERE / "images" / name
            docker_build(references[name], context, folder_digest(context, extra=ensure_base()))
    return [references[name] for name in names]


def build_standin() -> str:
    """Build Traefik, the ingress stand-in where no controller's image can be had."""
    binary = gobuild.build(gobuild.programs()["traefik"]) / "traefik"
    scratch_image(STANDIN, binary, "traefik")
    return STANDIN


def build_versitygw() -> str:
    """Build the S3 server that backups of clusters on this machine go to."""
    binary = gobuild.build(gobuild.programs()["versitygw"]) / "versitygw"
    scratch_image(VERSITYGW, binary, "versitygw")
    return VERSITYGW


def print_list() -> None:
    """Print every image and where it comes from here."""
    for image in platform_images():
        say(f"{image.origin:14} {image.name:24} {image.reference}")
