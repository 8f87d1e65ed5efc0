"""Parts predicted by the workers of a Dask cluster, which read and write the same folders, or S3."""

import importlib.util
import time
from collections.abc import Iterator, Sequence

from distributed import CancelledError, Client, Future, KilledWorker, as_completed
from msgspec.structs import replace

from obesity_levels.errors import RunError
from obesity_levels.prediction.account import Account
from obesity_levels.prediction.files import RUN, Runner
from obesity_levels.prediction.run import differences, made_with
from obesity_levels.prediction.storage import Folder, S3File, file_of
from obesity_levels.prediction.task import FilePart, Task, predict_part

_CONNECT_SECONDS = 3
# A worker may fail to read or write for a moment. A part that kills its workers is given up by Dask.
_RETRIES = 3
_POLL_SECONDS, _ALONE_SECONDS = 0.1, 60


def on_cluster(address: str) -> Runner:
    """The Runner with the workers of the scheduler at `address`, tcp://host:port or tls://host:port.

    It raises RunError, before anything is sent, if nobody answers there within 3 s, if there are no workers, or if one
    has another version of this package, another model or another folder. Of a worker that is killed only the part is
    predicted again, by another one.
    """

    def run(task: Task, parts: Sequence[FilePart], folder: str) -> Iterator[Account]:
        try:
            client = Client(address, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise RunError(f"no scheduler of Dask answers at {address} within {_CONNECT_SECONDS} s") from error
        except TypeError as error:
            raise RunError(f"{address}: Dask's settings distributed.comm.tls name no certificates") from error
        with client:
            task = replace(task, model=_absolute(task.model))
            _check_workers(client, address, task, _absolute(folder))
            futures = client.map(
                predict_part,
                [task] * len(parts),
                [part._replace(file=_absolute(part.file)) for part in parts],
                [_absolute(folder)] * len(parts),
                retries=_RETRIES,
                pure=False,
            )
            try:
                yield from _results(client, futures)
            except KilledWorker as error:
                raise RunError("a part has ended several workers, which perhaps ran out of memory") from error
            except (CancelledError, OSError) as error:  # those of a worker are RunError or SourceError
                raise RunError(f"the scheduler at {address} has stopped: start it, and run again") from error

    return run


def _results(client: Client, futures: Sequence[Future]) -> Iterator[Account]:
    """The accounts, as the parts are finished. Raises RunError if there are no workers for a time."""
    finished = as_completed(futures)
    last_seen = time.monotonic()
    while not finished.is_empty():
        done = finished.next_batch(block=False)
        for future in done:
            yield future.result()
            future.release()
        if done or client.nthreads():
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > _ALONE_SECONDS:
            raise RunError("all workers are gone: start some, and run again; the finished parts are kept")
        if not done:
            time.sleep(_POLL_SECONDS)


def _check_workers(client: Client, address: str, task: Task, folder: str) -> None:
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise RunError(f"the scheduler at {address} has no workers: start some, `dask worker {address}`")
    # Asked first, with a function that every worker has: one without this package would not answer.
    for worker, found in client.run(importlib.util.find_spec, "obesity_levels").items():
        if found is None:
            raise RunError(f"{worker} does not have this package: install it there")
    try:
        origins = client.run(made_with, task.model)
    except Exception as error:  # Dask makes one of what the worker could not import
        raise RunError(f"a worker cannot use this package ({error}): install the same one there") from error
    for worker, there in origins.items():
        if changed := differences(task.made_with, there):
            raise RunError(f"{worker} has not the same {changed} as this machine: install and copy the same")
    for worker, names in client.run(names_in, folder).items():
        if RUN not in names:
            raise RunError(f"{worker} has another {folder}: name one that all workers read and write, or S3")


def names_in(folder: str) -> list[str]:
    """The names of the files in a folder, as a worker sees it."""
    return Folder(folder).names()


def _absolute(name: str) -> str:
    """A worker's current folder is another one."""
    file = file_of(name)
    return name if isinstance(file, S3File) else str(file.absolute())
