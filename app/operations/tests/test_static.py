"""Pages of one version get their static files from pods of another."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client, override_settings
from whitenoise.storage import CompressedManifestStaticFilesStorage

from operations.models import StaticFile
from operations.static import KEPT, publish

STYLE = "css/exchange.0123456789ab.css"
OTHER = "js/exchange.ba9876543210.js"
THIRD, FOURTH = "css/exchange.00112233aabb.css", "css/exchange.44556677ccdd.css"
pytestmark = pytest.mark.django_db


def time_goes_by(time: timedelta) -> None:
    """Let everything have happened earlier by so much."""
    StaticFile.objects.update(superseded_at=F("superseded_at") - time)


def test_a_file_of_another_version_is_served_for_ever() -> None:
    publish({STYLE: b"body { color: red }", OTHER: b"let a = 1;"})
    answer = Client().get(f"/static/{STYLE}", secure=True)
    assert (answer.status_code, answer.content) == (200, b"body { color: red }")
    assert answer.headers["Content-Type"] == 'text/css; charset="utf-8"'
    assert answer.headers["Cache-Control"] == "max-age=315360000, public, immutable"
    assert Client().get(f"/static/{OTHER}", secure=True).headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["css/exchange.000000000000.css", "../settings.py", "css/exchange.css", ""])
def test_anything_else_is_not_there(name: str) -> None:
    publish({STYLE: b"x"})
    StaticFile.objects.create(name="css/exchange.css", content=b"without a digest")
    assert Client().get(f"/static/{name}", secure=True).status_code == 404


def test_nothing_can_be_sent_there() -> None:
    assert Client().post(f"/static/{STYLE}", secure=True).status_code == 405


def test_files_of_former_versions_are_kept_for_a_while() -> None:
    assert publish({STYLE: b"a"}) == (1, 0)
    assert publish({STYLE: b"a"}) == (0, 0)
    assert publish({OTHER: b"b"}) == (1, 0)
    assert [one.name for one in StaticFile.objects.filter(superseded_at=None)] == [OTHER]
    time_goes_by(KEPT)
    assert publish({THIRD: b"c"}) == (1, 0)
    time_goes_by(KEPT + timedelta(seconds=1))
    assert publish({THIRD: b"c"}) == (0, 1)
    assert {one.name for one in StaticFile.objects.all()} == {OTHER, THIRD}


def test_a_version_that_serves_on_has_its_files_when_the_next_ones_are_rolled_out() -> None:
    publish({STYLE: b"it serves"})
    for name in (OTHER, THIRD):
        publish({name: b"its release failed, or was taken back"})
    time_goes_by(2 * KEPT)
    for name in (FOURTH, FOURTH, OTHER):
        publish({name: b"failed again, once more, the right one"})
        assert StaticFile.objects.filter(name=STYLE).exists()


def test_a_version_that_comes_back_is_the_newest_again() -> None:
    for name in (STYLE, OTHER, STYLE):
        publish({name: b"x"})
    assert StaticFile.objects.get(name=STYLE).superseded_at is None
    assert StaticFile.objects.get(name=OTHER).superseded_at is not None


def test_the_command_publishes_what_was_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(STATIC_ROOT=str(tmp_path)):
        storage = CompressedManifestStaticFilesStorage()  # type: ignore[no-untyped-call]
        monkeypatch.setattr(staticfiles_storage, "_wrapped", storage)
        with pytest.raises(CommandError, match="collectstatic"):
            call_command("publish_static")
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command("publish_static")
        style = storage.stored_name("css/exchange.css")
        assert bytes(StaticFile.objects.get(name=style).content) == (tmp_path / style).read_bytes()
        assert {name.rsplit(".", 1)[1] for name in StaticFile.objects.values_list("name", flat=True)} >= {"css", "js"}
        assert not StaticFile.objects.filter(name__endswith=".map").exists()
