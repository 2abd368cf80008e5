"""Hands a native record to Python's logging, and text to a stream. A part of handoff::log_sink."""

import logging
import sys
import threading


def names_of_threads():
    """Those of Python's threads, by their native numbers; the others have names of their own."""
    return {
        each.native_id: each.name
        for each in threading.enumerate()
        if not each.name.startswith("Dummy-")
    }


def handle(names, name, level, path, line, function, text, when, ident, native_id, thread_name):
    """Logs it as logger `name` would have at that time, in nanoseconds, in that thread."""
    logger = logging.getLogger(name)
    if not logger.isEnabledFor(level):
        return
    record = logger.makeRecord(
        logger.name,
        level,
        path or "(unknown file)",
        line,
        text,
        (),
        None,
        function or "(unknown function)",
    )
    # It was made now, and stands for what happened before.
    created = when / 1e9
    record.relativeCreated += (created - record.created) * 1000
    record.created = created
    record.msecs = when // 1_000_000 % 1000 + 0.0
    record.native_id = native_id
    if record.thread is not None:
        record.thread = ident
    if record.threadName is not None:
        record.threadName = names.get(native_id) or thread_name
    logger.handle(record)


def write(stream, text):
    """To sys.stdout or sys.stderr, whatever it is now."""
    stream = getattr(sys, stream)
    if stream is not None:
        stream.write(text)


def flush():
    for stream in sys.stdout, sys.stderr:
        if stream is not None:
            stream.flush()


def lowest_level():
    """The lowest level that any of Python's loggers lets through now."""
    root = logging.getLogger()
    known = list(root.manager.loggerDict.values())  # at once: other threads add to it
    loggers = [each for each in known if isinstance(each, logging.Logger)]
    lowest = min(each.getEffectiveLevel() for each in [root, *loggers])
    return max(lowest, root.manager.disable + 1)


def utf8(text):
    """What has no bytes in UTF-8, as in names of files, appears as \\udcff."""
    return text.encode(errors="backslashreplace")


class Handler(logging.Handler):
    """Passes what it is given to a function: see handoff::new_log_handler()."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def emit(self, record):
        try:
            self._function(  # logging.makeLogRecord() leaves out what it is not given
                utf8(record.name or ""),
                record.levelno,
                utf8(self.format(record)),
                utf8(record.pathname or ""),
                max(record.lineno or 0, 0),
                utf8(record.funcName or ""),
                record.created,
                utf8(record.threadName or ""),
            )
        except Exception:
            self.handleError(record)
