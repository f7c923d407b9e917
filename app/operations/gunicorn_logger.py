"""gunicorn's own log lines and its access log, in the same JSON as everything else."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import Any

import structlog
from gunicorn.glogging import Logger

from operations.logs import configure, logging_config
from operations.requests import REQUEST_ID_KEY, USER_ID_KEY

PROBES = frozenset({"/healthz", "/readyz"})
access_log = structlog.get_logger("gunicorn.access")


class StructuredLogger(Logger):
    """Leaves formatting to the root logger's handler."""

    def setup(self, cfg: Any) -> None:
        """Set up logging before the application is loaded, so that its failure to load is logged alike."""
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        configure(logging_config(logging.getLevelName(self.loglevel), os.environ.get("LOG_FORMAT", "") or "json"))
        for logger in (self.error_log, self.access_log):
            logger.propagate = True

    def access(self, resp: Any, _req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log a request that was answered; probes that went well only at DEBUG."""
        status = int(str(resp.status).split(maxsplit=1)[0])
        path = environ.get("PATH_INFO", "")
        write = access_log.debug if path in PROBES and status < 400 else access_log.info  # noqa: PLR2004
        context = {"request_id": environ.get(REQUEST_ID_KEY), "user_id": environ.get(USER_ID_KEY)}
        write(
            "request",
            method=environ.get("REQUEST_METHOD"),
            # Without the query: it may carry what a person typed.
            path=path,
            status=status,
            duration_seconds=round(request_time.total_seconds(), 6),
            bytes=getattr(resp, "sent", None),
            client=environ.get("HTTP_X_FORWARDED_FOR") or environ.get("REMOTE_ADDR"),
            user_agent=environ.get("HTTP_USER_AGENT"),
            **{key: value for key, value in context.items() if value is not None},
        )

    def reopen_files(self) -> None:
        """There are none: everything goes to standard output."""
