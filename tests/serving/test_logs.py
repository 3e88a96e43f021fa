"""Application logs are JSON and tell nobody's facts."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from serving import logs

NAME = "홍길동"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def raised() -> ValueError:
    def found() -> None:
        try:
            {}[NAME]
        except KeyError as inner:
            raise ValueError(f"no account of {NAME}") from inner

    with pytest.raises(ValueError, match=NAME) as outer:
        found()
    return outer.value


def test_a_line_is_json_with_its_time_and_level(stream: io.StringIO) -> None:
    structlog.get_logger().info("request", request_id="r", status=200, ms=1.5)
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "request", "level": "info", "request_id": "r", "status": 200, "ms": 1.5}


def test_an_exception_is_told_by_class_and_place_not_by_its_text(stream: io.StringIO) -> None:
    structlog.get_logger().error("incident", error=raised())
    [line] = lines(stream)
    told = "\n".join(line["raised"])
    assert "KeyError" in told
    assert "ValueError" in told
    assert "test_logs.py" in told
    assert NAME not in stream.getvalue()


def test_another_librarys_record_is_told_by_its_template(stream: io.StringIO) -> None:
    logger = logging.getLogger("some.library")
    try:
        raise raised()
    except ValueError:
        logger.exception("row %s is odd", NAME)
    logger.warning("future: lost\n<Task of %s>" % NAME)  # noqa: G002, UP031 - as asyncio writes it
    logger.info("chatter")
    first, second = lines(stream)
    assert (first["logger"], first["template"], first["level"]) == ("some.library", "row %s is odd", "error")
    assert second["template"] == "future: lost"
    assert NAME not in stream.getvalue()
