"""Application logs: JSON lines on standard error, without personal data.

An exception is told by its class and where it was raised, never by its text or its arguments; another library's
record by its template, never by what was put into it. Both may quote a name, a number or a question.
"""

import logging
import sys
import traceback
from typing import Any, TextIO

import structlog

Event = structlog.typing.EventDict


def configure(stream: TextIO = sys.stderr, level: int = logging.INFO) -> None:
    """Send our own records and every library's to `stream`, one JSON object a line."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _told,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Foreign()]
    root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = name != "uvicorn.access"


def frames(error: BaseException) -> list[str]:
    """Where an exception came from, innermost last: its class and `file:line function`, its causes before it."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    places = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    return [*(frames(before) if before else []), type(error).__qualname__, *places]


def _told(_logger: Any, _method: str, event: Event) -> Event:
    error = event.pop("error", None)
    if isinstance(error, BaseException):
        event["raised"] = frames(error)
    return event


class _Foreign(logging.Handler):
    """Records of other libraries, through the same door."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        template = str(record.msg).partition("\n")[0][:200]
        structlog.get_logger().log(record.levelno, "library", logger=record.name, template=template, error=error)
