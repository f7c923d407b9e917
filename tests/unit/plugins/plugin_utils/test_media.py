"""What of a folder on the control node is copied. How it arrives is in tests/backup/test_media.py."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import media
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.media import (
    MediaError,
    archive,
    content_of,
    listing,
    named,
    total,
)


def test_files_by_path_with_sizes_and_digests(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "b").write_bytes(b"bb")
    (tmp_path / "a").write_bytes(b"")
    assert listing(tmp_path) == {
        "a": (0, hashlib.sha256(b"").hexdigest()),
        "deep/er/b": (2, hashlib.sha256(b"bb").hexdigest()),
    }
    assert total(listing(tmp_path), ["a", "deep/er/b"]) == 2


def test_what_is_neither_a_file_nor_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "tree").symlink_to(tmp_path.parent)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaError, match=f"link, pipe, tree in {tmp_path}: neither files nor folders"):
        listing(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MediaError, match=f"{name} is no folder on the control node"):
        listing(tmp_path / name)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "READ_BYTES", 10)
    (tmp_path / "a").write_bytes(b"a" * 100_000)
    pieces = archive(tmp_path, ["a"])
    next(pieces)
    assert next(pieces) == b"a" * 10
    (tmp_path / "a").write_bytes(b"a" * 15)
    with pytest.raises(MediaError, match="a became shorter"):
        list(pieces)
    (tmp_path / "a").unlink()
    with pytest.raises(MediaError, match=r"a: .*No such file"):
        list(archive(tmp_path, ["a"]))


def test_no_more_than_a_piece_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "READ_BYTES", 1000)
    (tmp_path / "a").write_bytes(b"a" * 4500)
    assert [len(piece) for piece in content_of(tmp_path / "a")] == [1000, 1000, 1000, 1000, 500]
    assert max(len(piece) for piece in list(archive(tmp_path, ["a"]))[:-1]) == 1000


@pytest.mark.parametrize(
    ("paths", "said"), [(["a"], "a"), ([str(n) for n in range(12)], "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more")]
)
def test_a_few_names_are_enough(paths: list[str], said: str) -> None:
    assert named(paths) == said
