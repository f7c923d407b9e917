"""Where uploads are kept: on a volume, in S3, or nowhere."""

from __future__ import annotations

from typing import Any, Final

from exchange.environment import Environment

LOCAL: Final = "local"
S3: Final = "s3"
NONE: Final = "none"


def media_storage(env: Environment, *, folder: bool) -> tuple[str, dict[str, Any]]:
    """Return the kind of storage, and Django's configuration of it.

    A folder that nobody named is none that outlives the pod, so without one (and without a bucket) nothing is kept.

    The variables of S3 are named as django-storages names its settings, which is how the Helm chart passes them.
    """
    bucket = env.text("AWS_STORAGE_BUCKET_NAME", "", pattern=r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", allowed="a bucket")
    endpoint = env.text(
        "AWS_S3_ENDPOINT_URL", "", pattern=r"https?://\S+", allowed="an address such as https://s3.example.com"
    )
    region = env.text("AWS_S3_REGION_NAME", "", pattern=r"[A-Za-z0-9-]+", allowed="a region")
    # Without a key the pod's own identity is used.
    access_key = env.text("AWS_ACCESS_KEY_ID", "", allowed="an access key", secret=True)
    secret_key = env.text("AWS_SECRET_ACCESS_KEY", "", allowed="its secret key", secret=True)
    prefix = env.text(
        "AWS_LOCATION", "", pattern=r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", allowed="a path without slashes at its ends"
    )
    default = S3 if bucket else LOCAL if folder else NONE
    kind = env.choice("MEDIA_STORAGE", [LOCAL, S3, NONE], default)
    if kind != S3:
        return kind, {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    env.require(condition=bool(bucket), problem="AWS_STORAGE_BUCKET_NAME is not set, which MEDIA_STORAGE 's3' needs")
    env.require(
        condition=bool(access_key) == bool(secret_key),
        problem="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: set both or neither",
    )
    from botocore.config import Config  # noqa: PLC0415 - few need it, and it takes long

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 3},
        # Checksums that are sent without need are more than many servers other than Amazon's understand.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    options = {
        "bucket_name": bucket,
        "endpoint_url": endpoint or None,
        "region_name": region or None,
        "access_key": access_key or None,
        "secret_key": secret_key or None,
        "location": prefix,
        "default_acl": None,
        "file_overwrite": False,
        "client_config": config,
    }
    return kind, {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
