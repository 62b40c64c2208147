"""Writers that stop at a step, or write again and again, until they are killed: each in a process of its own."""

import contextlib
import multiprocessing
import os
import time

from store_rows import rows, write, write_as_driver

from landmark_spark import ledger
from landmark_spark.store import Store

__all__ = ["NUM_ROWS", "rewriter", "started", "writer"]

NUM_ROWS = 1500
_CONTEXT = multiprocessing.get_context("forkserver")  # which imports once what takes a second, and forks from then on
_CONTEXT.set_forkserver_preload(
    ["landmark_spark.store", "pyspark.sql.pandas.types", "pandas", "fsspec.implementations.local", "pytest"]
)


@contextlib.contextmanager
def started(run, *arguments):
    """Run a function of this module in a process; yield it and a connection; it is killed at the end of the block."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=run, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        assert ours.recv() == "begun"
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def writer(connection, url, step):
    """Write a shard and stop at a step, or write it again and again."""

    def stop_here():
        connection.send("there")
        time.sleep(600)

    def batches():
        for first in range(0, NUM_ROWS, 100):
            if step == "writing" and first == 1200:  # two row groups are written, a third is not
                stop_here()
            yield rows(0, 100, first)

    commit, flush = ledger.Ledger.commit, os.fsync

    def before_the_commit(self, one):
        stop_here()

    def after_the_commit(self, one):
        commit(self, one)
        stop_here()

    def at_the_flush(descriptor):
        flush(descriptor)
        stop_here()

    if step == "flushing":
        os.fsync = at_the_flush
    if step == "placed":
        ledger.Ledger.commit = before_the_commit
    if step == "committed":
        ledger.Ledger.commit = after_the_commit
    if step == "again and again":
        write_as_driver(Store(url), batches(), [0])  # the first takes longest
    connection.send("begun")
    while step == "again and again":
        write_as_driver(Store(url), batches(), [0])
    write(Store(url), batches(), [0])


def rewriter(connection, url, first, num_rounds):
    """Write a shard of 100 rows so many times, once told to go."""
    connection.send("begun")
    connection.recv()
    for _ in range(num_rounds):
        write_as_driver(Store(url), [rows(0, 100, first)], [0])
