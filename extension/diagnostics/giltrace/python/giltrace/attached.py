"""Records a process that already runs: python3 -m giltrace --pid PID -o trace.html."""

from __future__ import annotations

import argparse
import contextlib
import select
from pathlib import Path

from handoff_attach.command_line import say
from handoff_attach.injection import started
from handoff_attach.process import Process, RefusedError

_LONGEST = 2**31 - 1  # milliseconds, as poll() takes them: 24 days
_WRITING = 600.0  # seconds that the process has to write its recording


def record(asked: argparse.Namespace) -> None:
    """Until so many seconds have passed, Ctrl-C, or the end of that process.

    That process writes the file, with its own rights. Raises RefusedError.
    """
    output = Path.cwd() / asked.output
    with (
        Process(asked.pid) as process,
        started(
            process, "giltrace", str(output), within=asked.within, until_ended=True
        ) as recording,
    ):
        end = f"for {asked.seconds:g} s" if asked.seconds else "until Ctrl-C"
        ended = select.poll()
        ended.register(process.descriptor, select.POLLIN)
        with contextlib.suppress(KeyboardInterrupt):  # which may come as soon as it is told
            say(f"giltrace: records process {asked.pid} {end}")
            ended.poll(min(asked.seconds * 1000, _LONGEST) if asked.seconds else None)
        recording.end()
        try:
            written = recording.expect("stopped", _WRITING)
        except RefusedError as refusal:
            if "has ended" not in str(refusal) or not output.exists():
                raise
            written = True  # as it ended
        if not written:
            raise RefusedError(
                f"process {asked.pid} has recorded, and hangs: its recording is {output}.recording,"
                f" which `python3 -m giltrace -o {asked.output} --recording {output}.recording` "
                "draws"
            )
    say(f"giltrace: {output}")
