"""Media: a series of backups of their own, read whole by a drill, and brought back without harming what is there."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from exchange_backup import archive, catalog, crypt, media, prune, report, verify
from exchange_backup.bucket import Bucket
from exchange_backup.cli import main
from exchange_backup.config import Config, Retention, Target
from exchange_backup.errors import BackupError
from exchange_backup.incoming import UNFINISHED
from exchange_backup.manifest import MEDIA, Files, Segment, Stream

from backup.conftest import back_up, write
from backup.test_manifest import media_manifest
from backup.test_prune import NOW, store

FILES = {
    "avatars/1.png": b"\x89PNG" * 5000,
    "avatars/2.png": b"2" * 100,
    "proofs/passport.pdf": b"",
    "readme": b"hello",
}


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    """Return a folder with uploads."""
    made = tmp_path / "uploads"
    for name, content in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    (made / "link").symlink_to("readme")
    return made


@pytest.fixture
def config(target: Target, keys: tuple[str, str], uploads: Path) -> Config:
    """Return a configuration for media alone: these jobs know no database."""
    return Config(target, recipients=(keys[0],), media={"media": str(uploads)}, retention=Retention(daily=2))


def tree(folder: Path) -> dict[str, bytes | Path]:
    return {
        str(file.relative_to(folder)): file.readlink() if file.is_symlink() else file.read_bytes()
        for file in folder.rglob("*")
        if file.is_symlink() or file.is_file()
    }


def test_media_are_stored_counted_and_reported(config: Config, uploads: Path, tmp_path: Path, key_file: Path) -> None:
    for name in ("lost+found", f"{media.STAGING}x"):
        (uploads / name).mkdir()
        (uploads / name / "file").write_text("of no upload")
    (uploads / UNFINISHED).write_text("half of an upload that is moving in")
    assert main([f"--config={write(config, tmp_path)}", "media"]) == 0
    bucket = Bucket(config.target)
    ((found,), (told,)) = catalog.entries(bucket), report.read(bucket, "media")
    assert found.good
    assert found.manifest is not None
    assert found.manifest.series == MEDIA
    assert found.manifest.stream("media").files == Files(4, sum(map(len, FILES.values())))
    assert (told.ok, told.backup) == (True, found.id)
    verify.check_stored(bucket, found.manifest)
    verify.check_content(bucket, found.manifest, crypt.identities(key_file))
    stored = bucket.client.get_object(Bucket=config.target.bucket, Key=bucket.key(f"backups/{found.id}/media.age"))
    assert b"PNG" not in stored["Body"].read()


@pytest.mark.parametrize("command", ["list", "drill --media", "verify --media"])
def test_each_command_knows_them(
    config: Config, tmp_path: Path, key_file: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = back_up(config, MEDIA)
    key = [] if command == "list" else [f"--private-key={key_file}"]
    assert main([f"--config={write(config, tmp_path)}", *command.split(), *key]) == 0
    bucket = Bucket(config.target)
    drills = report.read(bucket, "media-drill")
    assert [one.backup for one in drills] == ([made.id] if command.startswith("drill") else [])
    assert report.verified(bucket) == {one.backup for one in drills}
    if drills:
        assert drills[0].figures["files"] == 4
    assert main([f"--config={write(config, tmp_path)}", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:2] == [made.id, "media"]


def test_a_drill_of_the_database_doesn_t_take_media(config: Config, tmp_path: Path, key_file: Path) -> None:
    back_up(config, MEDIA)
    assert main([f"--config={write(config, tmp_path)}", "drill", f"--private-key={key_file}"]) == 1
    (told,) = report.read(Bucket(config.target), "drill")
    assert "there is no good backup" in told.message


def test_a_drill_compares_what_is_in_it(config: Config, tmp_path: Path, key_file: Path) -> None:
    made = back_up(config, MEDIA)
    stream = dataclasses.replace(made.streams[0], files=Files(5, 1))
    bucket = Bucket(config.target)
    bucket.put(f"backups/{made.id}/manifest.json", dataclasses.replace(made, streams=(stream,)).dump(), protect=False)
    assert main([f"--config={write(config, tmp_path)}", "drill", "--media", f"--private-key={key_file}"]) == 1
    (told,) = report.read(bucket, "media-drill")
    assert "media.age: holds 4 files of 20105 bytes, the manifest says 5 of 1: use another backup" in told.message
    assert report.verified(bucket) == set()


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
def test_what_is_no_archive_is_found_out(content: bytes) -> None:
    members = archive.Members()
    members.write(content)
    with pytest.raises(BackupError, match="the archive can't be read"):
        members.finish()


def test_an_archive_that_was_cut_off_is_found_out(uploads: Path) -> None:
    whole = subprocess.run(["tar", "-C", uploads, "-cf-", "."], capture_output=True, check=True).stdout
    with archive.Members() as members:
        members.write(whole[:5000])
        with pytest.raises(BackupError, match="the archive can't be read"):
            members.finish()


def test_files_that_change_meanwhile_do_no_harm(
    config: Config, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GNU tar stores what there was, and ends with 1."""
    program = tmp_path / "bin" / "tar"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n/bin/tar "$@"\necho file changed as we read it >&2\nexit 1\n')
    program.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        made = back_up(config, MEDIA)
    verify.check_folder(Bucket(config.target), made.stream("media"), crypt.identities(key_file))


def test_a_folder_that_isn_t_there_is_said_before_anything_is_stored(config: Config, uploads: Path) -> None:
    wrong = dataclasses.replace(config, media={"media": str(uploads), "other": str(uploads / "nowhere")})
    with pytest.raises(BackupError, match=r"media\.other: .*nowhere is not a folder: mount it"):
        back_up(wrong, MEDIA)
    with pytest.raises(BackupError, match="media: name the folders to back up"):
        back_up(dataclasses.replace(config, media={}), MEDIA)
    assert Bucket(config.target).sizes("") == {}


def test_neither_series_pushes_the_other_out(target: Target) -> None:
    bucket = Bucket(target)
    databases = [store(bucket, NOW - timedelta(days=days)) for days in (9, 8, 7)]
    pictures = [store_media(bucket, days) for days in (3, 2, 1)]
    config = Config(target, retention=Retention(daily=2, weekly=0, monthly=0, yearly=0))
    done = prune.run(bucket, config, NOW)
    assert sorted(done.kept) == sorted([*databases[1:], *pictures[1:]])
    assert [one.id for one in catalog.entries(bucket)] == [*databases[1:], *pictures[1:]]


def store_media(bucket: Bucket, days: int) -> str:
    begun = NOW - timedelta(days=days)
    backup = f"{begun:%Y%m%dT%H%M%SZ}-{days:06x}"
    segment = Segment(f"backups/{backup}/media.age", 2, "0" * 64)
    made = dataclasses.replace(
        media_manifest(backup),
        started=begun.isoformat(),
        finished=begun.isoformat(),
        streams=(Stream("media", "tar", 1, "0" * 64, (segment,)),),
    )
    bucket.put(segment.name, b"{}", protect=False)
    bucket.put(f"backups/{backup}/manifest.json", made.dump(), protect=False)
    return backup


@pytest.fixture
def run(config: Config, tmp_path: Path, key_file: Path) -> Callable[[], int]:
    """Return what brings media back."""
    command = [f"--config={write(config, tmp_path)}", "restore-media", f"--private-key={key_file}"]
    return lambda: main(command)


def test_into_an_empty_folder_everything_comes_back(
    config: Config, uploads: Path, run: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(uploads)
    back_up(config, MEDIA)
    uploads.rename(uploads.with_name("lost"))
    uploads.mkdir()
    assert run() == 0
    assert tree(uploads) == before
    assert capsys.readouterr().out == "media: 5 files are back, 0 were there, 0 are others\n"


def test_what_is_there_is_never_written_over(
    config: Config, uploads: Path, run: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    made = back_up(config, MEDIA)
    (uploads / "avatars" / "1.png").unlink()
    (uploads / "readme").write_text("changed since")
    (uploads / "new").write_text("made since")
    (uploads / "proofs" / "passport.pdf").unlink()
    (uploads / "proofs").rmdir()
    (uploads / "proofs").write_text("a file where a folder was")
    assert run() == 0
    beside = f"restored-{made.id}"
    assert tree(uploads) == {
        **{name: content for name, content in FILES.items() if name != "proofs/passport.pdf"},
        "link": Path("readme"),
        "readme": b"changed since",
        "new": b"made since",
        "proofs": b"a file where a folder was",
        f"{beside}/readme": b"hello",
        f"{beside}/proofs/passport.pdf": b"",
    }
    said = f"media: 1 files are back, 2 were there, 2 are others, the backup's are in {beside}\n"
    assert capsys.readouterr().out == said
    # Once more: nothing is written over there either.
    assert run() == 0
    assert (uploads / f"{beside}-again" / "readme").read_bytes() == b"hello"


def test_a_link_that_leads_elsewhere_is_not_followed(
    config: Config, uploads: Path, tmp_path: Path, run: Callable[[], int]
) -> None:
    made = back_up(config, MEDIA)
    elsewhere = tmp_path / "elsewhere"
    (uploads / "avatars").rename(elsewhere)
    (elsewhere / "1.png").unlink()
    (uploads / "avatars").symlink_to(elsewhere)
    assert run() == 0
    assert not (elsewhere / "1.png").exists()
    assert (uploads / f"restored-{made.id}" / "avatars" / "1.png").read_bytes() == FILES["avatars/1.png"]


def test_on_a_file_system_without_links_nothing_is_written_over_either(
    config: Config, uploads: Path, run: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(config, MEDIA)
    (uploads / "avatars" / "1.png").unlink()
    (uploads / "readme").write_text("changed since")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    assert run() == 0
    assert (uploads / "avatars" / "1.png").read_bytes() == FILES["avatars/1.png"]
    assert (uploads / "readme").read_text() == "changed since"


def test_a_damaged_backup_brings_nothing_back(
    config: Config, uploads: Path, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = back_up(config, MEDIA)
    for file in (uploads / "avatars").iterdir():
        file.unlink()
    # What a run that was killed has left goes.
    (uploads / f"{media.STAGING}old").mkdir()
    before = tree(uploads)
    stream = dataclasses.replace(made.streams[0], plain_sha256="0" * 64)
    wrong = dataclasses.replace(made, streams=(stream,))
    with pytest.raises(BackupError, match="its content is not what was backed up"):
        media.bring_back(Bucket(config.target), wrong, crypt.identities(key_file), "media", uploads)
    assert tree(uploads) == before
    assert not list(uploads.glob(f"{media.STAGING}*"))
    assert "which a restore that didn't end has left" in caplog.text


def test_without_room_nothing_begins(config: Config, uploads: Path, key_file: Path) -> None:
    made = back_up(config, MEDIA)
    huge = dataclasses.replace(made, streams=(dataclasses.replace(made.streams[0], files=Files(4, 1 << 60)),))
    with pytest.raises(BackupError, match=r"bytes left, 1152921504606846976 are needed.*make room"):
        media.bring_back(Bucket(config.target), huge, crypt.identities(key_file), "media", uploads)


def test_a_folder_that_the_backup_lacks_is_said_before_anything_is_done(
    config: Config, uploads: Path, tmp_path: Path, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    back_up(config, MEDIA)
    (uploads / "readme").unlink()
    wrong = dataclasses.replace(config, media={"media": str(uploads), "other": str(tmp_path)})
    assert main([f"--config={write(wrong, tmp_path)}", "restore-media", f"--private-key={key_file}"]) == 1
    assert "has no other; it has media" in caplog.text
    assert not (uploads / "readme").exists()


def test_into_an_empty_folder_anywhere(config: Config, uploads: Path, tmp_path: Path, key_file: Path) -> None:
    """As somebody does who wants to look first."""
    back_up(config, MEDIA)
    (tmp_path / "look").mkdir()
    words = ["folder", "media", "--media", f"--private-key={key_file}", f"--to={tmp_path / 'look'}"]
    assert main([f"--config={write(config, tmp_path)}", *words]) == 0
    assert tree(tmp_path / "look") == tree(uploads)
