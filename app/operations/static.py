"""Static files of the versions before and after this one.

While a new version is rolled out, a page of one version may ask a pod of the other for its style sheet. Each image has
its own files alone, which WhiteNoise serves. So those of a new version are put into the database before its first pod
starts, and what a pod doesn't have it looks for there. A name carries a digest of the content: it never means two
things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from whitenoise.media_types import MediaTypes

from operations.models import StaticFile

# As Django's manifest storage writes names: exchange.1c8f2a0b9d3e.css.
HASHED: Final = re.compile(r".+\.[0-9a-f]{12}(\.[^/.]+)?")
# Pages that are open for longer are loaded anew.
KEPT: Final = timedelta(days=30)
_types: Final = MediaTypes()


@require_safe
def static_of_other_version(_request: HttpRequest, name: str) -> HttpResponse:
    """Answer with a file that this version's image doesn't have."""
    found = StaticFile.objects.filter(name=name).first() if HASHED.fullmatch(name) else None
    if found is None:
        raise Http404
    kind = _types.get_type(name)
    if kind.startswith("text/"):
        kind += '; charset="utf-8"'
    # For ever, as WhiteNoise says of names with a digest.
    headers = {"Cache-Control": "max-age=315360000, public, immutable"}
    return HttpResponse(bytes(found.content), content_type=kind, headers=headers)


def publish(files: Mapping[str, bytes]) -> tuple[int, int]:
    """Keep a version's files, and forget those that newer versions have not had for long.

    A version that another one could not replace serves on, perhaps for months, with files that count as superseded
    since the first attempt; and they are needed when the next attempts begin. So KEPT is counted back from the last
    time at which any were superseded, attempts of the last KEPT left aside.

    Returns:
        How many are new, and how many are forgotten.
    """
    now = timezone.now()
    with transaction.atomic():
        known = set(StaticFile.objects.filter(name__in=files).values_list("name", flat=True))
        new = [StaticFile(name=name, content=content) for name, content in files.items() if name not in known]
        # Two deliveries at once may both bring one.
        StaticFile.objects.bulk_create(new, ignore_conflicts=True, batch_size=50)
        StaticFile.objects.filter(name__in=files).update(superseded_at=None)
        StaticFile.objects.exclude(name__in=files).filter(superseded_at=None).update(superseded_at=now)
        old = StaticFile.objects.filter(superseded_at__lt=now - KEPT)
        last = old.aggregate(last=Max("superseded_at"))["last"] or now
        forgotten, _ = old.filter(superseded_at__lt=last - KEPT).delete()
    return len(new), forgotten
