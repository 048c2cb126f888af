"""Feeds a program's standard input: a text that must not stand among arguments, or a file too big for memory."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import threading
from collections.abc import Iterator
from typing import BinaryIO

_BLOCK = 1 << 20


@contextlib.contextmanager
def fed(source: BinaryIO | str) -> Iterator[int]:
    """Give a descriptor to read from, and write all of the source to it while the program runs."""
    stream = io.BytesIO(source.encode()) if isinstance(source, str) else source
    reading, writing = os.pipe()
    # A program of another user may open its standard input by name; who else could, may read the pipe anyway.
    os.fchmod(reading, 0o666)
    feeder = threading.Thread(target=_feed, args=(stream, writing), daemon=True)
    feeder.start()
    try:
        yield reading
    finally:
        os.close(reading)
        feeder.join()


def _feed(stream: BinaryIO, writing: int) -> None:
    # A program that ends early reads no more: how it ended says why.
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as target:
        shutil.copyfileobj(stream, target, _BLOCK)
