import dataclasses

import numpy as np
import pytest

from landmark_spark.core.refitting import Training, train_and_refit
from landmark_spark.core.training_loop import Batch, LoopPlan, Trainee, TrainingData, best_epoch, run_loop


class Counter:
    """A trainee of one number, the steps done; it scores the held-out examples as the test says for each number."""

    def __init__(self, scores=None, losses=None):
        self.steps = 0
        self.scores = scores or (lambda steps: np.full((2, 2), 0.5, np.float32))
        self.losses = losses

    def trainee(self):
        def step(features, labels, weights):
            self.steps += 1
            return self.losses[self.steps - 1] if self.losses else 1.0

        def restore(state):
            self.steps = int(state[0])

        return Trainee(step, lambda features: self.scores(self.steps), lambda: [np.array(self.steps)], restore, self)


def batches(*sizes):
    def train(epoch, first_step):
        for size in sizes[first_step:]:
            yield Batch(np.zeros((size, 1)), np.zeros(size, np.int32), np.ones(size, np.float32), size)

    return train


def held_out(*labels):
    return lambda: iter([(np.zeros((len(labels), 1)), np.array(labels, np.int32))])


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples():
    counter = Counter(losses=[1.0, 4.0, 2.0, 2.0])
    history = run_loop(counter.trainee(), TrainingData(batches(3, 1)), LoopPlan(epochs=2))
    assert history == {"loss": [(3 * 1.0 + 1 * 4.0) / 4, 2.0]}


@pytest.mark.parametrize("validation", [None, held_out(0, 1)])
def test_a_training_whose_loss_is_no_number_fails_and_says_why(validation):
    counter = Counter(losses=[1.0, float("nan")])
    with pytest.raises(ValueError, match="the loss should be finite: lower the learning rate. Received: nan"):
        run_loop(counter.trainee(), TrainingData(batches(3, 1), validation), LoopPlan(epochs=2))


def test_scores_that_are_no_number_fail_and_say_why():
    counter = Counter(lambda steps: np.full((2, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="the loss should be finite: lower the learning rate. Received: nan"):
        run_loop(counter.trainee(), TrainingData(batches(3), held_out(0, 1)), LoopPlan(epochs=1))


def test_weights_that_the_last_step_makes_no_number_are_not_kept():
    counter = Counter()
    trainee = dataclasses.replace(counter.trainee(), get_state=lambda: [np.array(np.inf)], set_state=print)
    with pytest.raises(ValueError, match="the loss should be finite: lower the learning rate. Received: inf"):
        run_loop(trainee, TrainingData(batches(3)), LoopPlan(epochs=1))


def test_loss_accuracy_and_gap_of_the_held_out_part_are_those_worked_out_by_hand():
    scores = np.array([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2]], np.float32)
    counter = Counter(lambda steps: scores)
    history = run_loop(
        counter.trainee(),
        TrainingData(batches(4), held_out(0, 0, 1, 0)),
        LoopPlan(epochs=1, label_smoothing=0.2),
    )
    # Ranked: 0.9 right, 0.8 right, 0.7 wrong, 0.6 right; precision at the right ones 1, 1 and 3/4, of 4 positives.
    assert history["val_gap"] == [pytest.approx((1 + 1 + 0.75) / 4)]
    assert history["val_accuracy"] == [0.75]
    # 0.9 of the target on the right class and 0.1 on the other:
    by_hand = [-0.9 * np.log(right) - 0.1 * np.log(1 - right) for right in (0.9, 0.3, 0.6, 0.8)]
    assert history["val_loss"] == [pytest.approx(np.mean(by_hand), abs=1e-6)]


def improving_until(best):
    def scores(steps):
        right = 0.9 - 0.1 * abs(steps - best)
        return np.array([[right, 1 - right]], np.float32)

    return scores


def test_training_ends_after_epochs_without_improvement_and_keeps_the_best_weights():
    counter = Counter(improving_until(3))
    data = TrainingData(batches(1), held_out(0))
    history = run_loop(counter.trainee(), data, LoopPlan(epochs=20, patience=2))
    assert len(history["val_loss"]) == 5
    assert counter.steps == 3


def test_without_patience_every_epoch_is_done_and_the_last_weights_stay():
    counter = Counter(improving_until(3))
    history = run_loop(counter.trainee(), TrainingData(batches(1), held_out(0)), LoopPlan(epochs=6))
    assert len(history["loss"]) == counter.steps == 6


def test_the_model_that_is_kept_is_trained_anew_on_everything_for_as_many_epochs_as_were_best():
    made = {"measured": Counter(improving_until(2)), "kept": Counter()}
    data = TrainingData(batches(1), held_out(0))
    training = Training(LoopPlan(epochs=9, patience=1), data, everything=TrainingData(batches(1, 1)))
    trained = train_and_refit(training, lambda phase: made[phase].trainee())
    assert (trained.measured.model, trained.kept.model) == (made["measured"], made["kept"])
    assert made["kept"].steps == 2 * 2
    assert "val_loss" in trained.history


def test_the_best_epoch_is_the_last_where_nothing_is_held_out():
    assert best_epoch({"loss": [3.0, 2.0, 1.0]}, patience=2) == 3
    assert best_epoch({"loss": [3.0, 2.0, 1.0], "val_loss": [2.0, 1.0, 4.0]}, patience=2) == 2


def test_an_epoch_without_examples_is_refused():
    with pytest.raises(ValueError, match="an epoch should have at least one example. Received: none"):
        run_loop(Counter().trainee(), TrainingData(batches()), LoopPlan(epochs=1))
