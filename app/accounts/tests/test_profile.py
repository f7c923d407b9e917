from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from PIL import Image
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from accounts import profile
from accounts.freezing import freeze
from accounts.models import User
from exchange.environment import Environment, EnvironmentErrors
from exchange.media import media_storage
from testing.s3 import S3, running_s3

Commit = Callable[..., Any]
MODES = {
    "JPEG": ["RGB", "L", "CMYK"],
    "PNG": ["RGB", "RGBA", "L", "LA", "P", "1"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["RGB", "RGBA", "L", "P", "1"],
}


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """Keep files in a folder of the test's own."""
    settings.MEDIA_ROOT = str(tmp_path)
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}
    yield tmp_path
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".webp"]


def picture(size: tuple[int, int] = (640, 480), *, form: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Return a file with a picture, its left half red, its right half blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    output = io.BytesIO()
    image.convert(mode).save(output, form, **options)
    return output.getvalue()


def upload(client: Client, content: bytes, name: str = "me.png", content_type: str = "image/png") -> Any:
    """Send a file with the form."""
    return client.post("/profile/", {"picture": SimpleUploadedFile(name, content, content_type)})


def files(folder: Path) -> list[Path]:
    """Return the files that are kept."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_profile(customer_client: Client, user: User) -> None:
    page = customer_client.get("/profile/")
    for path in ("/accounts/2fa/", "/accounts/password/change/", "/accounts/email/", "/accounts/tokens/"):
        assertContains(page, f'href="{path}"')
    assertContains(page, '<span class="soft">off</span>')
    assertNotContains(page, "frozen")
    Authenticator.objects.create(user=user, type="totp", data={})
    freeze(user.pk, "asked for by the customer")
    page = customer_client.get("/profile/")
    assertContains(page, '<span class="soft">on</span>')
    assertContains(page, "frozen since")
    assertNotContains(page, "asked for by the customer")


def test_upload(customer_client: Client, user: User, media: Path) -> None:
    assertRedirects(upload(customer_client, picture()), "/profile/")
    user.refresh_from_db()
    assert re.fullmatch(r"pictures/[0-9a-f]{32}\.webp", user.picture)
    assertContains(customer_client.get("/wallet/"), 'src="/profile/picture/"')
    response = customer_client.get("/profile/picture/")
    assert response.headers["Content-Type"] == "image/webp"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    with Image.open(io.BytesIO(response.content)) as image:
        assert (image.format, image.size) == ("WEBP", (256, 256))
    assert len(files(media)) == 1


@pytest.mark.parametrize(("form", "mode"), [(form, mode) for form, modes in MODES.items() for mode in modes])
def test_formats(form: str, mode: str) -> None:
    content = picture(form=form, mode=mode)
    with Image.open(io.BytesIO(profile.square(io.BytesIO(content)))) as image:
        red, blue = image.convert("RGB").getpixel((40, 128)), image.convert("RGB").getpixel((215, 128))
        assert image.size == (256, 256)
        assert red != blue


def test_nothing_but_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    # 6: the camera was turned; what is stored with red on the left has it at the top.
    exif[0x0112] = 6
    content = picture((640, 640), form="JPEG", exif=exif, comment=b"secret", icc_profile=b"x" * 200)
    assert b"at home" in content
    square = profile.square(io.BytesIO(content))
    assert not any(word in square for word in (b"at home", b"secret", b"EXIF", b"ICCP", b"XMP"))
    with Image.open(io.BytesIO(square)) as image:
        assert not image.getexif()
        top, bottom = (image.convert("RGB").getpixel((128, y)) for y in (30, 225))
        assert isinstance(top, tuple)
        assert isinstance(bottom, tuple)
        assert (top[0] > 200, top[2] < 100) == (True, True)
        assert (bottom[0] < 100, bottom[2] > 200) == (True, True)


BAD = {
    "empty": b"",
    "text": b"no picture at all",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "html": b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>",
    "cut": picture()[:200],
    "cut jpeg": picture(form="JPEG")[:700],
    "cut gif": picture(form="GIF")[:100],
    "bmp": picture(form="BMP"),
    "tiff": picture(form="TIFF"),
    "pdf": b"%PDF-1.4\n%%EOF",
    "broken": picture()[:60] + b"\x00" * 50 + picture()[110:],
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_picture(customer_client: Client, user: User, media: Path, what: str) -> None:
    response = upload(customer_client, BAD[what])
    assert response.status_code == 400
    page = response.content.decode()
    assert 'role="alert"' in page
    assert "alert(1)" not in page
    user.refresh_from_db()
    assert (user.picture, files(media)) == ("", [])


def test_too_many_pixels(customer_client: Client, media: Path) -> None:
    # Some kilobytes that would take a gigabyte.
    bomb = io.BytesIO()
    Image.new("L", (17_000, 17_000)).save(bomb, "PNG")
    assert bomb.tell() < 2**20
    assertContains(upload(customer_client, bomb.getvalue()), "more than 24 million pixels", status_code=400)
    assert not files(media)


def test_too_many_bytes(customer_client: Client, media: Path) -> None:
    response = upload(customer_client, picture() + b"\x00" * 6 * 2**20)
    assertContains(response, "The file is larger than 5 MiB.", status_code=413)
    assert not files(media)


@pytest.mark.parametrize("data", [{}, {"picture": ""}, {"picture": "text"}])
def test_no_file(customer_client: Client, data: dict[str, str]) -> None:
    assertContains(customer_client.post("/profile/", data), "This field is required.", status_code=400)


def test_another_picture_replaces_the_first_once_that_is_certain(
    customer_client: Client, user: User, media: Path, django_capture_on_commit_callbacks: Commit
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        upload(customer_client, picture())
    first = files(media)
    tag = customer_client.get("/profile/picture/").headers["ETag"]
    assert customer_client.get("/profile/picture/", headers={"If-None-Match": tag}).status_code == 304
    with django_capture_on_commit_callbacks() as callbacks:
        upload(customer_client, picture((300, 300)))
    assert len(files(media)) == 2, "the first stays until the second is committed"
    for callback in callbacks:
        callback()
    assert len(files(media)) == 1
    assert files(media) != first
    assert customer_client.get("/profile/picture/", headers={"If-None-Match": tag}).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        assertRedirects(customer_client.post("/profile/picture/remove/"), "/profile/")
    assert not files(media)
    assert customer_client.get("/profile/picture/").status_code == 404
    user.refresh_from_db()
    assert not user.picture


def test_what_was_stored_in_vain_is_removed(user: User, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(profile, "_replace", fail)
    with pytest.raises(RuntimeError):
        profile.set_picture(user, io.BytesIO(picture()))
    assert not files(media)


def test_nobody_else_sees_it(customer_client: Client, make_user: Callable[[str], User], client: Client) -> None:
    upload(customer_client, picture())
    assertRedirects(client.get("/profile/picture/"), "/accounts/login/?next=/profile/picture/")
    client.force_login(make_user("bob"), backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/profile/picture/").status_code == 404
    stored = User.objects.get(username="alice").picture
    for path in (f"/media/{stored}", f"/{stored}", f"/profile/picture/{stored}", f"/static/{stored}"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/profile/", "/profile/picture/remove/"])
def test_forms_of_other_sites_are_refused(user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(path, {"picture": SimpleUploadedFile("me.png", picture())}).status_code == 403


def test_a_folder_that_cannot_be_written(
    customer_client: Client, user: User, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A file where the folder should be: root, as whom tests may run, could write anywhere else.
    settings.MEDIA_ROOT = str(tmp_path / "file.webp" / "media")
    (tmp_path / "file.webp").write_text("")
    response = upload(customer_client, picture())
    assertContains(response, "Pictures can&#x27;t be stored at the moment.", status_code=503)
    assert response.headers["Retry-After"] == "5"
    assert f"MEDIA_ROOT {settings.MEDIA_ROOT}" in caplog.text
    user.refresh_from_db()
    assert not user.picture


def test_a_file_that_is_gone_is_a_404(customer_client: Client, media: Path) -> None:
    upload(customer_client, picture())
    files(media)[0].unlink()
    assert customer_client.get("/profile/picture/").status_code == 404


@override_settings(MEDIA_STORAGE="none")
def test_installation_without_pictures(customer_client: Client) -> None:
    assertNotContains(customer_client.get("/profile/"), 'type="file"')
    assert upload(customer_client, picture()).status_code == 404


# --- S3 ----------------------------------------------------------------------------------------------------------

BUCKET = {"AWS_STORAGE_BUCKET_NAME": "pictures", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def s3(settings: Any) -> Iterator[S3]:
    """Keep files in an S3 of the test's own, as the environment would say."""
    with running_s3() as server:
        env = Environment(BUCKET | {"AWS_S3_ENDPOINT_URL": server.address, "AWS_LOCATION": "exchange/prod"})
        settings.MEDIA_STORAGE, storage = media_storage(env, folder=False)
        env.check()
        settings.STORAGES = settings.STORAGES | {"default": storage}
        yield server


def test_s3(customer_client: Client, user: User, s3: S3, django_capture_on_commit_callbacks: Commit) -> None:
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            assertRedirects(upload(customer_client, picture()), "/profile/")
    user.refresh_from_db()
    assert list(s3.objects) == [f"/pictures/exchange/prod/{user.picture}"]
    assert next(iter(s3.objects.values()))[1] == "image/webp"
    assert customer_client.get("/profile/picture/").content == s3.objects[f"/pictures/exchange/prod/{user.picture}"][0]
    assert all("Credential=key/" in authorization for _, _, authorization in s3.requests)
    s3.objects.clear()
    assert customer_client.get("/profile/picture/").status_code == 404


def test_s3_that_does_not_answer(customer_client: Client, user: User, s3: S3, settings: Any) -> None:
    upload(customer_client, picture())
    user.refresh_from_db()
    before = user.picture
    options = settings.STORAGES["default"]["OPTIONS"] | {"endpoint_url": "http://127.0.0.1:1"}
    settings.STORAGES = settings.STORAGES | {"default": settings.STORAGES["default"] | {"OPTIONS": options}}
    assertContains(upload(customer_client, picture()), "at the moment", status_code=503)
    response = customer_client.get("/profile/picture/")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    user.refresh_from_db()
    assert user.picture == before
    assert len(s3.objects) == 1


@pytest.mark.parametrize(
    ("variables", "folder", "kind", "backend"),
    [
        ({}, False, "none", "FileSystemStorage"),
        ({}, True, "local", "FileSystemStorage"),
        ({"AWS_STORAGE_BUCKET_NAME": "pictures"}, True, "s3", "S3Storage"),
        (BUCKET, False, "s3", "S3Storage"),
        (BUCKET | {"MEDIA_STORAGE": "local"}, True, "local", "FileSystemStorage"),
        ({"MEDIA_STORAGE": "none"}, True, "none", "FileSystemStorage"),
    ],
)
def test_storage_by_environment(variables: dict[str, str], *, folder: bool, kind: str, backend: str) -> None:
    env = Environment(variables)
    chosen, storage = media_storage(env, folder=folder)
    env.check()
    assert (chosen, storage["BACKEND"].rpartition(".")[2]) == (kind, backend)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MEDIA_STORAGE": "s3"}, "AWS_STORAGE_BUCKET_NAME is not set"),
        ({"MEDIA_STORAGE": "ftp"}, "one of local, s3, none"),
        (BUCKET | {"AWS_SECRET_ACCESS_KEY": ""}, "set both or neither"),
        (BUCKET | {"AWS_STORAGE_BUCKET_NAME": "Not A Bucket"}, "AWS_STORAGE_BUCKET_NAME is 'Not A Bucket'"),
        (BUCKET | {"AWS_S3_ENDPOINT_URL": "s3.example.com"}, "https://s3.example.com"),
        (BUCKET | {"AWS_LOCATION": "/prod/"}, "without slashes at its ends"),
    ],
)
def test_storage_that_is_told_wrong(variables: dict[str, str], message: str) -> None:
    env = Environment(variables)
    media_storage(env, folder=False)
    with pytest.raises(EnvironmentErrors, match=re.escape(message)):
        env.check()
