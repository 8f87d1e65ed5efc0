"""Parts predicted by the workers of a Dask cluster, which read and write the same folders, or S3."""

import importlib.util
import time
from collections.abc import Iterator, Sequence

from distributed import CancelledError, Client, Future, KilledWorker, as_completed
from msgspec.structs import replace

from obesity_levels.errors import RunError
from obesity_levels.prediction.account import Account
from obesity_levels.prediction.files import Runner
from obesity_levels.prediction.run import differences, made_with
from obesity_levels.prediction.storage import S3File, file_of
from obesity_levels.prediction.task import FilePart, Task, predict_part

_CONNECT_SECONDS = 3
# A part is tried again where a worker could not read or write; one that kills its workers is given up by Dask.
_RETRIES = 3
_POLL_SECONDS, _ALONE_SECONDS = 0.1, 60


def on_cluster(address: str) -> Runner:
    """The Runner with the workers of the scheduler at `address`, tcp://host:port or tls://host:port.

    It raises RunError, before anything is sent, if nobody answers there within 3 s, if there are no workers, or if one
    has another version of this package or another model. A worker that is killed costs its part only, which another one
    predicts.
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
            _check_workers(client, address, task)
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
                raise RunError("a part has ended several workers, perhaps for want of memory") from error
            except (CancelledError, OSError) as error:
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


def _check_workers(client: Client, address: str, task: Task) -> None:
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise RunError(f"the scheduler at {address} has no workers: start some, `dask worker {address}`")
    # Asked first, with a function that every worker has: one without this package would not answer.
    for worker, found in client.run(importlib.util.find_spec, "obesity_levels").items():
        if found is None:
            raise RunError(f"{worker} does not have this package: install it there")
    for worker, there in client.run(made_with, task.model).items():
        if changed := differences(task.made_with, there):
            raise RunError(f"{worker} has not the same {changed} as this machine: install and copy the same")


def _absolute(name: str) -> str:
    """A worker's current folder is another one."""
    file = file_of(name)
    return name if isinstance(file, S3File) else str(file.absolute())
