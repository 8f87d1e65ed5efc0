"""Parts predicted by several processes of this machine."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

from obesity_levels.errors import RunError
from obesity_levels.prediction.account import Account
from obesity_levels.prediction.files import Runner
from obesity_levels.prediction.task import FilePart, Task, predict_part


@contextmanager
def in_processes(jobs: int) -> Iterator[Runner]:
    """The Runner with `jobs` processes, which start at once. It raises RunError if one of them is killed."""
    # Spawned: a process that is forked from one with threads may wait for a lock for ever.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _follow_parent)
    for _ in range(jobs):
        pool.submit(os.getpid)

    def run(task: Task, parts: Sequence[FilePart], folder: str) -> Iterator[Account]:
        try:
            for future in as_completed([pool.submit(predict_part, task, part, folder) for part in parts]):
                yield future.result()
        except BrokenProcessPool as error:
            raise RunError(
                "a process was killed, perhaps because memory ran out: run again, with fewer --jobs; the finished"
                " parts are kept"
            ) from error

    try:
        yield run
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """End when the parent has ended, even if it was killed. Ctrl+C is for the parent, which waits for the parts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
