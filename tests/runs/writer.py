"""A process that trains nothing: it logs 20 rows, says so, and waits for what the test does to it."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from shared.runs import record
from shared.spec import Execution
from tests.runs import toy


def main(run_dir: Path, how: str) -> None:
    if how == "full-disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
        record.ON_DISK_WITHIN_S = 1.5
    run = record.start(toy.spec(), Execution(), run_dir, "main", toy.FACTS)
    try:
        with record.sigterm_as_interrupt():
            for row in toy.rows(1000 if how == "full-disk" else 20):
                run.log(row)
            print("logged", flush=True)
            if how == "wait":
                time.sleep(60)
    except KeyboardInterrupt as stop:
        record.finish(run, {"status": type(stop).__name__}, exit_code=1)
        raise SystemExit(143) from None
    try:
        record.finish(run, {"status": "finished"})
    except record.RecordError as error:
        print(error, flush=True)
        raise SystemExit(3) from None


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
