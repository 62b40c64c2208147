"""Two ranks that train together, as two real processes on loopback, beside one process that trains alone."""

import os
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from landmark_spark.core.data_parallel import Rank, _check_normalisation

TESTS = Path(__file__).resolve().parent.parent


def free_addresses(count):
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in with_ports]
    for each in with_ports:
        each.close()
    return addresses


@pytest.fixture(scope="module")
def pair():
    """What the two saw, and what rank 0 said once rank 1 was killed in the middle."""
    addresses = ",".join(free_addresses(2))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    processes = [
        subprocess.Popen(
            [sys.executable, TESTS / "ranks.py", str(number), addresses], stdout=subprocess.PIPE, env=environment
        )
        for number in range(2)
    ]
    limit = threading.Timer(
        300, lambda: [each.kill() for each in processes]
    )  # a rank that waits for ever ends the test
    limit.start()
    try:
        seen = [pickle.load(each.stdout) for each in processes]
        last = pickle.load(processes[0].stdout)
        codes = [each.wait(60) for each in processes]
    finally:
        limit.cancel()
        for each in processes:
            each.kill()
            each.wait()
    return SimpleNamespace(ranks=seen, last=last, codes=codes)


def test_both_ranks_end_with_the_same_weights_and_saw_the_same_losses(pair):
    first, second = pair.ranks
    assert len(first["losses"]) == 12  # 4 batches in 3 epochs, one of them without a row for rank 0
    assert first["losses"] == second["losses"]
    assert all(np.array_equal(one, two) for one, two in zip(first["state"], second["state"], strict=True))


def test_the_loss_curve_and_the_weights_are_those_of_one_process_with_the_whole_batches_dropout_included(pair):
    seen = pair.ranks[0]
    assert seen["losses"] == pytest.approx(seen["losses_alone"], abs=1e-5)
    assert max(seen["losses"]) - min(seen["losses"]) > 0.1  # else anything would be near
    for one, two in zip(seen["state"], seen["state_alone"], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_training_that_goes_on_from_a_kept_state_has_the_losses_of_the_one_that_was_not_stopped(pair):
    for seen in pair.ranks:
        assert seen["later"] == seen["losses"][4:]


def test_a_batch_is_scored_by_all_ranks_with_the_same_answer_on_each(pair):
    for one, two, alone in zip(
        pair.ranks[0]["scores"], pair.ranks[1]["scores"], pair.ranks[0]["scores_alone"], strict=True
    ):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, alone, atol=1e-5)


def test_every_rank_is_given_the_bytes_of_the_first(pair):
    assert [seen["bytes"] for seen in pair.ranks] == [[b"rank 0", b"", None]] * 2


def test_a_rank_whose_peer_is_killed_says_that_it_is_not_the_cause(pair):
    assert pair.last == "PeerLostError('another rank is gone; its own error is the cause')"
    assert pair.codes == [0, -9]


def test_ranks_of_one_host_are_counted_in_their_order():
    addresses = ("a:1", "b:1", "a:2", "b:2", "a:3")
    assert [Rank(number, addresses).place_on_host for number in range(5)] == [0, 0, 1, 1, 2]


def test_a_trained_batch_normalisation_is_refused_and_a_frozen_one_is_not():
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.Sequential([keras.layers.BatchNormalization(name="moments")])])
    with pytest.raises(ValueError, match="should be frozen where several workers train.*Received: moments"):
        _check_normalisation(model)
    model.layers[0].trainable = False
    _check_normalisation(model)
