"""How programs are built from Go modules: the go.mod of our wrapper, and what the cache's key depends on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from cluster.gobuild import Program, forget_sources, kubernetes_version, program_label, programs, wrapper_go_mod

KUBERNETES = """\
// This is a generated file. Do not edit directly.

module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
	github.com/JeffAshton/win_pdh v0.0.0-20161109143554-76bb4ee9f0ab
	k8s.io/api v0.0.0
	k8s.io/kubelet v0.0.0
	k8s.io/klog/v2 v2.140.0
	k8s.io/utils v0.0.0-20260108192941-914a6e750570
	sigs.k8s.io/yaml v1.6.0
)

require (
	github.com/Azure/go-ansiterm v0.0.0-20250102033503-faa5f7b0171c // indirect
	k8s.io/kms v0.0.0 // indirect
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/kms => ./staging/src/k8s.io/kms
	k8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
"""
ETCD = """\
module go.etcd.io/etcd/server/v3

go 1.25.0

toolchain go1.25.11

require (
	go.etcd.io/etcd/api/v3 v3.6.13
	go.uber.org/zap v1.27.0
)

replace (
	go.etcd.io/etcd/api/v3 => ../api
	go.etcd.io/etcd/pkg/v3 => ../pkg
)

// Bad imports are sometimes causing attempts to pull that code.
replace go.etcd.io/etcd => ./FORBIDDEN_DEPENDENCY
"""
TRAEFIK = """\
module github.com/traefik/traefik/v3

go 1.25.0

require github.com/gorilla/mux v1.8.1

// Containous forks
replace (
	github.com/abbot/go-http-auth => github.com/containous/go-http-auth v0.4.1-0.20200324110947-a37a7636d23e
	github.com/gorilla/mux => github.com/containous/mux v0.0.0-20250523120546-41b6ec3aed59
)
"""
VERSIONED = """\
module example.org/tool

go 1.24

replace example.org/a v1.2.3 => example.org/fork v1.2.4 // until 1.2.5 is out

replace (
	example.org/b v0.1.0 => example.org/b v0.1.1
	example.org/c v0.1.0 => ../c
	// example.org/d => example.org/d v9.9.9
)
"""
GODEBUG = """\
module example.org/tool

go 1.24

godebug (
	default=go1.21
	panicnil=1
)

require example.org/a v1.0.0
"""


def replaces(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "=>" in line]


def test_kubernetes_staging_modules_are_taken_from_their_own_releases() -> None:
    text = wrapper_go_mod(KUBERNETES, "k8s.io/kubernetes", "v1.37.2")
    assert text == (
        "module build\n\ngo 1.26.0\n\ngodebug default=go1.26\n\nrequire k8s.io/kubernetes v1.37.2\n\n"
        "replace (\n"
        "\tk8s.io/api => k8s.io/api v0.37.2\n"
        "\tk8s.io/kms => k8s.io/kms v0.37.2\n"
        "\tk8s.io/kubelet => k8s.io/kubelet v0.37.2\n"
        ")\n"
    )


def test_relative_replaces_fall_back_to_the_required_version() -> None:
    text = wrapper_go_mod(ETCD, "go.etcd.io/etcd/server/v3", "v3.6.13")
    assert text == "module build\n\ngo 1.25.0\n\n\nrequire go.etcd.io/etcd/server/v3 v3.6.13\n\n"


def test_replaces_with_modules_are_taken_over() -> None:
    text = wrapper_go_mod(TRAEFIK, "github.com/traefik/traefik/v3", "v3.6.12")
    assert replaces(text) == [
        "github.com/abbot/go-http-auth => github.com/containous/go-http-auth v0.4.1-0.20200324110947-a37a7636d23e",
        "github.com/gorilla/mux => github.com/containous/mux v0.0.0-20250523120546-41b6ec3aed59",
    ]


def test_a_replace_of_one_version_stays_one_of_that_version() -> None:
    assert replaces(wrapper_go_mod(VERSIONED, "example.org/tool", "v1.0.0")) == [
        "example.org/a v1.2.3 => example.org/fork v1.2.4",
        "example.org/b v0.1.0 => example.org/b v0.1.1",
    ]


def test_a_godebug_block_is_taken_over_whole() -> None:
    text = wrapper_go_mod(GODEBUG, "example.org/tool", "v1.0.0")
    assert "\ngodebug (\n\tdefault=go1.21\n\tpanicnil=1\n)\n" in text
    assert "replace" not in text
    assert "example.org/a" not in text


def test_a_go_mod_without_a_go_line_gets_one() -> None:
    assert "\ngo 1.22\n" in wrapper_go_mod("module example.org/old\n", "example.org/old", "v1.0.0")


PROGRAM = Program("tool", "example.org/tool", "v1.0.0", ("example.org/tool",), "-X a=b", "tag", "tool", 1)
OTHER = {
    "name": "other",
    "module": "example.org/other",
    "version": "v1.0.1",
    "packages": ("example.org/tool", "example.org/more"),
    "ldflags": "-X a=c",
    "tags": "",
    "output": "",
    "manifest": "versions.yml",
}


@pytest.mark.parametrize(("field", "value"), OTHER.items())
def test_the_key_changes_with_every_input(field: str, value: object) -> None:
    assert dataclasses.replace(PROGRAM, **{field: value}).key != PROGRAM.key  # type: ignore[arg-type]


def test_the_key_changes_with_nothing_else() -> None:
    assert {field.name for field in dataclasses.fields(Program)} - set(OTHER) == {"minutes", "cluster"}
    assert dataclasses.replace(PROGRAM, minutes=9, cluster=False).key == PROGRAM.key
    assert PROGRAM.key.startswith("tool-v1.0.0-")


def test_results_are_in_the_cache_under_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTOEXCHANGE_CACHE", "/somewhere")
    assert str(PROGRAM.folder) == f"/somewhere/go/{PROGRAM.key}"


def test_sources_go_as_soon_as_a_cluster_has_all_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CRYPTOEXCHANGE_CACHE", str(tmp_path))
    sources = tmp_path / "go-sources"
    sources.mkdir()
    needed = [program for program in programs().values() if program.cluster]
    assert len(needed) < len(programs())
    for program in needed:
        forget_sources()
        assert sources.exists()
        program.folder.mkdir(parents=True)
        (program.folder / ".complete").touch()
    forget_sources()
    assert not sources.exists()


def test_the_list_of_programs_is_consistent() -> None:
    known = programs()
    kubernetes = known["kubernetes"]
    assert kubernetes.version == kubernetes_version()
    assert kubernetes.ldflags == f"-X k8s.io/component-base/version.gitVersion={kubernetes_version()}"
    assert {"kind", "helm", "containerd", "etcd", "coredns", "traefik"} < set(known)
    for program in known.values():
        generated = program.packages == (".",) if program.manifest else None
        assert generated or all(package.startswith(program.module) for package in program.packages), program
    assert len({program.key for program in known.values()}) == len(known)
    assert program_label(known["kind"]) == f"kind {known['kind'].version}"
