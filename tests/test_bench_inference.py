"""The benchmarks of inference: what they count by hand, and small runs of both."""

import json
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.core.backbone import NetworkPlan, base_of, build_network
from scripts.benchmarks import __main__ as command_line
from scripts.benchmarks import gpu
from scripts.benchmarks.inference import take_rounds
from scripts.benchmarks.inference_tasks import free_features, read_stamps
from scripts.benchmarks.report_lines import LineWriter


def lines_of(capfd):
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_who_begins_moves_on_from_round_to_round():
    calls = []
    sides = {name: lambda name=name: calls.append(name) or name.upper() for name in "abc"}
    assert take_rounds(sides, 4) == {"a": ["A"] * 4, "b": ["B"] * 4, "c": ["C"] * 4}
    assert "".join(calls) == "abcbcacababc"


@pytest.mark.parametrize("side", [32, 128])
def test_the_stand_in_gives_as_many_values_as_vgg16(side):
    images = np.arange(2 * side * side * 3, dtype=np.uint32).astype(np.uint8).reshape(2, side, side, 3)
    features = free_features(images)
    assert features.shape == (2, 4 * 4 * 512)
    assert features[1, 5] == images[1].ravel()[5]


def test_stamps_give_the_span_over_all_workers_and_the_rows(tmp_path):
    (tmp_path / "11").write_text("100.5 0\n103.0 4\n")
    (tmp_path / "12").write_text("101.0 0\n104.25 6\n")
    assert read_stamps(tmp_path) == (3.75, 10)
    assert read_stamps(tmp_path) == (0.0, 0)


def test_operations_of_vgg16_are_those_worked_out_layer_by_layer():
    # At 32 pixels: 2 x 9 x positions x channels in x channels out of each convolution.
    layers = [(32, 3, 64), (32, 64, 64), (16, 64, 128), (16, 128, 128), (8, 128, 256), (8, 256, 256), (8, 256, 256)]
    layers += [(4, 256, 512), (4, 512, 512), (4, 512, 512), *[(2, 512, 512)] * 3]
    expected = sum(18 * side * side * before * after for side, before, after in layers)
    assert gpu.count_flops(base_of(build_network(NetworkPlan(image_size=32)))) == expected
    assert expected * 16 == pytest.approx(10.0e9, rel=0.01)  # sixteen times the positions at 128


def test_without_a_gpu_the_gpu_benchmark_says_so(capfd, monkeypatch):
    monkeypatch.setattr(gpu, "gpu_capability", lambda: None)
    assert command_line.main(["gpu"]) == 0
    assert [(line["benchmark"], line["what"]) for line in lines_of(capfd)] == [("gpu", "not_run")]


def test_a_device_is_measured_by_its_matrix_product_the_network_alone_and_fed(capfd):
    with LineWriter() as write:
        plan = NetworkPlan(image_size=32, precision="float32")
        gpu.measure_device(write, plan, batch_sizes=(2,), seconds=0.01, matrix_side=64)
    product, network = lines_of(capfd)
    assert (product["what"], product["side"]) == ("matrix_product", 64)
    assert network["gflop_per_image"] == pytest.approx(0.6262, rel=1e-3)
    assert network["tflops"] == pytest.approx(network["images_per_second"] * network["gflop_per_image"] / 1e3, rel=1e-2)
    assert network["ratio_to_matrix_product"] == pytest.approx(network["tflops"] / product["tflops"], rel=1e-2)
    assert network["busy_share_from_jpeg"] > 0


@pytest.mark.jvm
def test_the_quick_inference_benchmark_compares_every_side(capfd, spark):
    assert command_line.main(["inference", "--quick"]) == 0
    lines = lines_of(capfd)
    runs = [(line["benchmark"], line["side"]) for line in lines if line["what"] == "run"]
    assert runs == [
        ("inference.network", "landmark_spark"),
        ("inference.network", "predict_batch_udf"),
        ("inference.network", "two_udfs"),
        ("inference.network", "bare_loop"),
        ("inference.zero_cost", "landmark_spark"),
        ("inference.zero_cost", "predict_batch_udf"),
    ]
    rates = {(line["benchmark"], line["side"]): line["images_per_second"] for line in lines if line["what"] == "run"}
    summary = lines[-1]
    ours = rates["inference.network", "landmark_spark"]
    for name, side in [("bare_loop", "bare_loop"), ("predict_batch_udf", "predict_batch_udf")]:
        expected = ours / rates["inference.network", side]
        assert summary[f"ratio_to_{name}"] == pytest.approx(expected, rel=1e-2)
    assert summary["ratio_to_predict_batch_udf_zero_cost"] > 0
