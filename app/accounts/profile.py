"""A customer's picture: decoded and written anew, so that nothing but its pixels is kept, and nobody else's to see."""

from __future__ import annotations

import io
import threading
import uuid
from typing import IO, Final

import structlog
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from PIL import Image, ImageOps

from accounts.models import User

SIDE_PIXELS: Final = 256
# More than cameras make, and less than would take a pod's memory.
MAX_PIXELS: Final = 24_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF")
CONTENT_TYPE: Final = "image/webp"

log = structlog.get_logger(__name__)
# Pictures of MAX_PIXELS take some 100 MB while they are decoded: one at a time in each process.
_decoding = threading.Lock()
# Sizes are checked before anything is decoded, by us; Pillow would warn.
Image.MAX_IMAGE_PIXELS = None


class PictureError(Exception):
    """The file can't be a picture; the text says why, for a customer's eyes."""


class StorageError(Exception):
    """The storage can't be written or read now."""


def pictures_offered() -> bool:
    """Say whether this installation keeps pictures."""
    return bool(settings.MEDIA_STORAGE != "none")


def square(file: IO[bytes]) -> bytes:
    """Return a picture's middle as a square WebP, without anything that the file said beside its pixels.

    Raises:
        PictureError: it is no picture that we know, is damaged, or too large.
    """
    with _decoding:
        try:
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PictureError(f"The picture has more than {MAX_PIXELS // 1_000_000} million pixels.")
                # JPEGs are decoded at no more than the size that is needed, give or take.
                image.draft("RGB", (2 * SIDE_PIXELS, 2 * SIDE_PIXELS))
                upright = ImageOps.exif_transpose(image)
                pixels = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
                small = ImageOps.fit(pixels, (SIDE_PIXELS, SIDE_PIXELS))
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError) as error:
            # What Pillow's decoders raise at files that are damaged, or made to damage.
            raise PictureError("This is not a picture that we can read: send a JPEG, PNG, WebP or GIF.") from error
        output = io.BytesIO()
        small.info.clear()
        small.save(output, "WEBP", quality=85)
        return output.getvalue()


def set_picture(user: User, file: IO[bytes]) -> None:
    """Keep a new picture, under a name that nobody can guess, and remove the former once it isn't needed any more.

    Raises:
        PictureError: it is none.
        StorageError: it can't be kept now.
    """
    content = square(file)
    try:
        name = default_storage.save(f"pictures/{uuid.uuid4().hex}.webp", ContentFile(content))
    except Exception as error:
        log.exception("a picture can't be stored", storage=where())
        raise StorageError("Pictures can't be stored at the moment. Please try again later.") from error
    try:
        _replace(user, name)
    except BaseException:
        _remove(name)
        raise


def remove_picture(user: User) -> None:
    """Forget the picture, if there is one."""
    _replace(user, "")


def read_picture(user: User) -> bytes:
    """Return the customer's picture.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it can't be read now.
    """
    if not user.picture:
        raise FileNotFoundError
    try:
        with default_storage.open(user.picture) as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise
    except Exception as error:
        log.warning("a picture can't be read", storage=where(), error=str(error))
        raise StorageError("Pictures can't be read at the moment.") from error


def where() -> str:
    """Name the storage, for those who run the exchange."""
    return f"MEDIA_ROOT {settings.MEDIA_ROOT}" if settings.MEDIA_STORAGE == "local" else settings.MEDIA_STORAGE


def _replace(user: User, name: str) -> None:
    with transaction.atomic():
        former = User.objects.select_for_update().get(pk=user.pk).picture
        User.objects.filter(pk=user.pk).update(picture=name)
        user.picture = name
        if former:
            transaction.on_commit(lambda: _remove(former))


def _remove(name: str) -> None:
    try:
        default_storage.delete(name)
    except Exception:
        # Nobody can see it any more; it takes some room.
        log.exception("a picture that isn't used any more can't be removed", storage=where(), name=name)
