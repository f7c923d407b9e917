"""Filter image_reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import images

DOCUMENTATION = r"""
name: image_reference
short_description: The reference of an image of the platform
description: Looks an image up in platform_images and puts the mirror before it.
options:
  _input:
    description: The map platform_images.
    type: dict
    required: true
  name:
    description: Key in the map.
    type: str
    required: true
  mirror:
    description: The variable platform_image_registry.
    type: str
    default: ""
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
image: "{{ platform_images | cryptoexchange.platform.image_reference('postgres', platform_image_registry) }}"
"""

RETURN = r"""
_value:
  description: Repository with tag or digest.
  type: str
"""


def image_reference(platform_images: Mapping[str, Mapping[str, str]], name: str, mirror: str = "") -> str:
    """Return the reference of the image that platform_images lists under a name."""
    if name not in platform_images:
        raise AnsibleFilterError(f"image_reference: {name!r} is not in platform_images: {', '.join(platform_images)}")
    return images.image_reference(platform_images[name], mirror)


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"image_reference": image_reference}
