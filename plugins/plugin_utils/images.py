"""Image references."""

from __future__ import annotations

from collections.abc import Mapping


def image_reference(image: Mapping[str, str], mirror: str = "") -> str:
    """Return the reference of an image: repository, then its digest or its tag, through a mirror if one is given.

    Args:
        image: `repository`, and `tag` or `digest`.
        mirror: registry and path that stand before the repository, such as registry.example.com/mirror.
    """
    suffix = f"@{image['digest']}" if image.get("digest") else f":{image['tag']}"
    return f"{mirror.rstrip('/')}/{image['repository']}{suffix}" if mirror else f"{image['repository']}{suffix}"
