"""A sample of the rows of a source that may be larger than memory."""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def sample_rows(blocks: Iterable[pd.DataFrame], size: int, seed: int) -> tuple[pd.DataFrame, int]:
    """The `size` rows with the smallest hashes, in their order, and the number of all rows; all if there are no more.

    `blocks` are tables of texts with the same columns; how the rows are divided into them makes no difference. One
    block and `size` rows are in memory at once. Of equal rows the first are kept. Raises ValueError without a block.
    Cohen & Kaplan, Summarizing Data Using Bottom-k Sketches (2007).
    """
    kept: list[pd.DataFrame] = []
    hashes = np.empty(0, dtype=np.uint64)
    rows = 0
    for block in blocks:
        rows += len(block)
        hashes = np.concatenate([hashes, row_hashes(block, seed)])
        smallest = np.sort(np.argsort(hashes, kind="stable")[:size])
        kept, hashes = [pd.concat([*kept, block]).iloc[smallest]], hashes[smallest]
    return pd.concat(kept), rows


def row_hashes(table: pd.DataFrame, seed: int) -> npt.NDArray[np.uint64]:
    """A hash of the texts of each row, shape (rows,): BLAKE2b (RFC 7693) with 64 bits, salted with `seed`.

    It is a standard, so every machine and every version of a library keeps the same rows.
    """
    columns = [pa.array(table[name]).cast(pa.large_binary()) for name in table]
    lines = pc.binary_join_element_wise(*columns, pa.scalar(b"\x1f", pa.large_binary()))
    salt = seed.to_bytes(8, "little")
    digests = (hashlib.blake2b(line, digest_size=8, salt=salt).digest() for line in lines.to_pylist())
    return np.frombuffer(b"".join(digests), dtype="<u8")
