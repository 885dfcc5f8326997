"""Launcher of the cluster's background processes: `detach RECORD LOG PROGRAM ARGUMENT...`.

Called by `processes.start_detached` only. It leaves the caller's session, records itself and then becomes the program,
so there is no moment in which the program runs unrecorded. Must not do anything after the record but exec.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tools.localcluster import processes


def main(record: Path, log: Path, argv: list[str]) -> int:
    """Fork, and report in this process whether the program could be started."""
    report_read, report_write = os.pipe()  # closed by a successful exec, so an empty report means it runs
    if os.fork() > 0:
        os.close(report_write)
        with os.fdopen(report_read) as report:
            failure = report.read()
        sys.stderr.write(failure)
        return 1 if failure else 0
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        processes.write(record, processes.this_process())
        os.execvpe(argv[0], argv, os.environ)
    except OSError as error:
        os.write(report_write, str(error).encode())
        os._exit(1)


def run() -> None:
    """Command line."""
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))


if __name__ == "__main__":
    run()
