"""One JSON object a line for every log record: ours, Django's, gunicorn's, libraries'."""

from __future__ import annotations

import logging.config
from typing import Any

import structlog

SHARED_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(allow=[]),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def logging_config(level: str, log_format: str) -> dict[str, Any]:
    """Return the configuration of the standard library's logging; log_format is `json` or `console`."""
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if log_format == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": SHARED_PROCESSORS,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            },
        },
        "handlers": {
            "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "structured"},
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # Django gives these handlers of their own; the root's is enough.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # Every 4xx would be a warning beside its line in the access log.
            "django.request": {"level": "ERROR"},
            "gunicorn.error": {"level": level, "propagate": True},
            "gunicorn.access": {"level": level, "propagate": True},
        },
    }


def configure(config: dict[str, Any]) -> None:
    """Set up logging and structlog; Django calls this as LOGGING_CONFIG, gunicorn's logger before Django is there."""
    logging.config.dictConfig(config)
    # Python's warnings would be the only lines that aren't JSON.
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
