"""Files come into a folder whole, or not at all, and never over others."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import exchange_backup
import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import media
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.media import MediaError, archive, listing
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.pods import Pod, PodError
from exchange_backup.errors import BackupError
from exchange_backup.incoming import UNFINISHED, compare, main, take
from kubernetes.client import ApiClient, Configuration

from backup.exec_server import serving

PACKAGE = str(Path(exchange_backup.__file__).parents[1])
FILES = {
    "a.txt": b"a",
    "empty": b"",
    "deep/er/ümlaut and space.bin": bytes(range(256)) * 5000,
    "long/" + "n" * 200 + ".txt": b"long",
    "block": b"b" * 512,
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return a folder with files."""
    folder = tmp_path / "here"
    for name, content in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Return an empty folder."""
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def sent(here: Path, *paths: str) -> io.BytesIO:
    return io.BytesIO(b"".join(archive(here, paths or list(FILES))))


def test_all_of_it_arrives(here: Path, there: Path) -> None:
    files = listing(here)
    assert sorted(files) == sorted(FILES)
    assert compare(there, files) == {"same": [], "differing": [], "missing": list(files)}
    assert take(there, sent(here)) == len(FILES)
    assert compare(there, files) == {"same": list(files), "differing": [], "missing": []}
    assert {str(file.relative_to(there)): file.read_bytes() for file in there.rglob("*") if file.is_file()} == FILES
    assert (there / "a.txt").stat().st_mtime == 1_700_000_000


def test_any_tar_reads_what_is_sent(here: Path, there: Path) -> None:
    subprocess.run(["tar", "-xf", "-", "-C", there], input=sent(here).getvalue(), check=True)
    assert compare(there, listing(here))["same"] == sorted(FILES)


@pytest.mark.parametrize("content", [b"b", b"", b"longer"])
def test_what_differs_is_told_and_stays(here: Path, there: Path, content: bytes) -> None:
    (there / "a.txt").write_bytes(content)
    (there / "empty").mkdir()
    assert compare(there, listing(here))["differing"] == ["a.txt", "empty"]
    with pytest.raises(BackupError, match=r"a\.txt is there already"):
        take(there, sent(here, "block", "a.txt"))
    assert (there / "a.txt").read_bytes() == content
    # What came before it is there.
    assert (there / "block").exists()


def test_a_link_that_leads_nowhere_is_not_written_through(here: Path, there: Path, tmp_path: Path) -> None:
    (there / "a.txt").symlink_to(tmp_path / "outside")
    assert compare(there, listing(here))["differing"] == ["a.txt"]
    with pytest.raises(BackupError, match="is there already"):
        take(there, sent(here))
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("part", [100, 2000, 200_000, 1_281_000])
def test_a_stream_that_breaks_leaves_whole_files_alone(here: Path, there: Path, part: int) -> None:
    files = listing(here)
    with contextlib.suppress(BackupError):
        take(there, io.BytesIO(sent(here).getvalue()[:part]))
    assert not (there / UNFINISHED).exists()
    found = compare(there, files)
    assert found["differing"] == []
    assert found["missing"]
    # Run again.
    take(there, sent(here, *found["missing"]))
    assert compare(there, files)["same"] == list(files)


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_nothing_is_written_outside(there: Path, name: str) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    content.seek(0)
    with pytest.raises(BackupError, match="is not below the folder"):
        take(there, content)
    assert list(there.rglob("*")) == []


def test_links_are_no_files(there: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    content.seek(0)
    with pytest.raises(BackupError, match="link is no file"):
        take(there, content)


def test_the_command_knows_the_end_without_being_told(here: Path, there: Path) -> None:
    """There is no way to close a command's input over the API server."""
    for action, given in (
        ("compare", json.dumps(listing(here)).encode() + b"\n"),
        ("take", sent(here).getvalue()),
    ):
        with subprocess.Popen(
            [sys.executable, "-m", "exchange_backup.incoming", action, there],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": PACKAGE},
        ) as process:  # fmt: skip
            assert process.stdin
            assert process.stdout
            process.stdin.write(given)
            process.stdin.flush()
            assert process.wait(60) == 0
            answer = json.loads(process.stdout.read())
    assert answer == len(FILES)


def test_what_goes_wrong_is_one_line(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(there)], io.BytesIO(b"nonsense\n")) == 1
    assert main(["take", str(there)], io.BytesIO(b"nonsense" * 200)) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.startswith(f"{there}: ") for line in said)


@pytest.fixture
def pod() -> Iterator[Pod]:
    """Return what a pod is to the control node, with commands that run here."""
    bin_folder = str(Path(sys.executable).parent)
    with serving({**os.environ, "PYTHONPATH": PACKAGE, "PATH": f"{bin_folder}:{os.environ['PATH']}"}) as address:
        yield Pod(ApiClient(Configuration(host=address)), "exchange", "media", "media")


def test_over_the_api_server_everything_arrives_however_large(here: Path, there: Path, pod: Pod) -> None:
    with (here / "large").open("wb") as large:
        for _ in range(48):
            large.write(os.urandom(1 << 20))
    first = media.copy(here, pod, str(there), lambda _: None)
    size = sum(file.stat().st_size for file in here.rglob("*") if file.is_file())
    assert first == {"changed": True, "files": len(FILES) + 1, "bytes": size, "copied": len(FILES) + 1}
    assert listing(there) == listing(here)
    # Again there is nothing to do.
    assert media.copy(here, pod, str(there), lambda _: None) == {**first, "changed": False, "copied": 0}


def test_what_differs_stops_it_before_anything_is_copied(here: Path, there: Path, pod: Pod) -> None:
    (there / "a.txt").write_bytes(b"another")
    with pytest.raises(MediaError, match=r"a\.txt: there already, and not what .* has\. Nothing has been copied"):
        media.copy(here, pod, str(there), lambda _: None)
    assert [file.name for file in there.rglob("*")] == ["a.txt"]


def test_a_folder_that_cannot_be_written_to_is_told(here: Path, there: Path, pod: Pod) -> None:
    (there / "deep").write_bytes(b"a file where a folder is needed")
    with pytest.raises(PodError, match=r"python in pod media ended with 1: .*Not a directory"):
        media.copy(here, pod, str(there), lambda _: None)


def test_a_command_that_stops_reading_is_told(pod: Pod) -> None:
    given = (bytes(1 << 20) for _ in range(64))
    with pytest.raises(PodError, match="sh in pod media ended with 3: no room"):
        pod.run(["sh", "-c", "head -c 1000 > /dev/null; echo no room >&2; exit 3"], given)
