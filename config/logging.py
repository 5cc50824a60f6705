"""How every process of Drydock logs: one line per event, for people or as JSON for a collector."""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

# What must never reach a log, whatever a caller passes by mistake.
SECRET_WORDS = ("password", "secret", "token", "tls_key", "authorization", "cookie", "auth_config")


def without_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog's: hides the values of keys that sound secret."""
    for key in event:
        if any(word in key.lower() for word in SECRET_WORDS):
            event[key] = "(hidden)"
    return event


def without_refusals_traceback(record: logging.LogRecord) -> bool:
    """A filter of Django's requests: a refusal (400, 403) is an answer and no fault, one line is enough."""
    if record.levelno < logging.ERROR:
        record.exc_info = None
    return True


# For structlog's own loggers and for everything that logs in the standard library's way.
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso"),
    structlog.processors.StackInfoRenderer(),
    without_secrets,
]


def configured(*, level: str, as_json: bool) -> dict[str, Any]:
    """Configures structlog and gives Django's LOGGING: everything goes to standard error."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "drydock": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_ending(as_json)],
                "foreign_pre_chain": _SHARED,
            }
        },
        "filters": {"refusals": {"()": lambda: without_refusals_traceback}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "drydock"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            "django.request": {"filters": ["refusals"]},
            # Each task and each request in two lines is for finding faults, not for every day.
            "celery": {"level": "WARNING"},
            "django_structlog": {"level": level if level == "DEBUG" else "WARNING"},
        },
    }


def _ending(as_json: bool) -> list[Any]:
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=False)]
