"""What an image is built from, as a digest; and where images come from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster import images
from cluster.images import folder_digest
from cluster.shell import Failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "app").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "app" / "main.py").write_text("print()\n")
    return root


@pytest.fixture
def _undecided() -> Iterator[None]:
    """Ask about the registry anew, before and after the test."""
    images.registry_reachable.cache_clear()
    yield
    images.registry_reachable.cache_clear()


def test_the_digest_stays_while_nothing_changes(folder: Path) -> None:
    assert folder_digest(folder) == folder_digest(folder)
    assert len(folder_digest(folder)) == 16


def test_the_digest_does_not_depend_on_where_the_folder_is(folder: Path, tmp_path: Path) -> None:
    before = folder_digest(folder)
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "context")
    assert folder_digest(moved) == before


def test_the_digest_changes_with_content_name_mode_and_extra(folder: Path) -> None:
    digests = [folder_digest(folder), folder_digest(folder, extra="base")]
    main = folder / "app" / "main.py"
    main.write_text("print(1)\n")
    digests.append(folder_digest(folder))
    main.chmod(0o755)
    digests.append(folder_digest(folder))
    main.rename(main.with_name("other.py"))
    digests.append(folder_digest(folder))
    (folder / "new").write_text("")
    digests.append(folder_digest(folder))
    assert len(set(digests)) == len(digests), digests


def test_leftovers_of_python_are_left_out(folder: Path) -> None:
    before = folder_digest(folder)
    (folder / "app" / "__pycache__").mkdir()
    (folder / "app" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"1")
    (folder / "app" / "old.pyc").write_bytes(b"1")
    (folder / "empty").mkdir()
    assert folder_digest(folder) == before


def test_files_and_folders_can_be_mixed(folder: Path) -> None:
    both = folder_digest(folder / "Dockerfile", folder / "app")
    assert both != folder_digest(folder / "app")
    (folder / "Dockerfile").write_text("FROM debian\n")
    assert both != folder_digest(folder / "Dockerfile", folder / "app")


@pytest.mark.usefixtures("_undecided")
def test_a_wrong_registry_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY", "maybe")
    with pytest.raises(Failure, match="REGISTRY is 'maybe'; allowed: yes, no, or unset"):
        images.registry_reachable()


@pytest.mark.usefixtures("_undecided")
@pytest.mark.parametrize(
    ("registry", "controllers", "standin"), [("yes", "upstream", False), ("no", "not to be had", True)]
)
def test_images_say_where_they_come_from(
    registry: str, controllers: str, monkeypatch: pytest.MonkeyPatch, *, standin: bool
) -> None:
    monkeypatch.setenv("REGISTRY", registry)
    origins = {image.name: image.origin for image in images.platform_images()}
    assert origins["postgres"] == origins["exchange"] == "built here"
    assert origins["nginx_ingress_f5"] == origins["nginx_ingress_community"] == controllers
    assert origins["loki"] == origins["collector"] == {"yes": "upstream", "no": "built here"}[registry]
    assert origins["metrics_server"] == ("upstream" if registry == "yes" else "built here")
    assert ("traefik_standin" in origins) is standin
    assert origins["prometheus"] == origins["alertmanager"] == ("built here" if standin else "upstream")


@pytest.mark.usefixtures("_undecided")
def test_what_debian_has_carries_its_own_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of another version than its tag says would deceive whoever reads the tag."""
    monkeypatch.setenv("REGISTRY", "no")
    here = images.image_map()
    for name, tag in images.FROM_DEBIAN.items():
        assert here[name]["tag"] == tag
        assert f"ARG VERSION={tag.removeprefix('v')}*" in (images.HERE / "images" / name / "Dockerfile").read_text()
    for name in images.FROM_GO:
        program, version = images.gobuild.programs()[name], here[name]["tag"].removeprefix("v")
        if program.manifest:
            manifest = yaml.safe_load((images.HERE / program.manifest).read_text())
            assert manifest["dist"]["version"] == version
        else:
            assert re.search(rf"[Vv]ersion=v?{re.escape(version)}$", program.ldflags)
    images.registry_reachable.cache_clear()
    monkeypatch.setenv("REGISTRY", "yes")
    upstream = images.image_map()
    assert {name for name in here if here[name] != upstream[name]} == {*images.FROM_DEBIAN}
