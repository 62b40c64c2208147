import pytest

from landmark_spark.cli import main

CHALLENGE = ["--images-train", "1225029", "--images-test", "117703", "--landmarks", "15000", "--memory", "64"]


def plan(*options):
    return main(["plan", "--set", "store=/nowhere/store", *options])


def test_the_estimate_names_stages_limits_cost_and_what_was_assumed(capsys):
    options = ["--estimate", *CHALLENGE, "--gpus", "4", "--nodes", "4", "--cores-per-node", "16", "--cpu", "avx512"]
    assert plan(*options, "--price-per-node-hour", "1", "--price-per-gpu-hour", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "1,225,029 training + 117,703 test images, 15,000 landmarks; "
        "4 nodes of 16 cores (avx512), 64 GB, 1,000 Mbit/s, 4 GPUs (v100)"
    )
    assert lines[2].split()[-1] == "cost"
    assert lines[18].startswith("in all ")
    assert any(line.startswith("assumed: network_v100 = 32900 GFLOP/s") for line in lines)
    assert any("15,000 landmarks; set retrieval.head=none" in line for line in lines if line.startswith("warning: "))


def test_the_mean_size_of_an_original_may_be_given(capsys):
    assert plan("--estimate", *CHALLENGE, "--image-kilobytes", "70") == 0
    assert "assumed: bytes_original" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--nodes", "4"], "--nodes should be given together with --estimate"),
        (["--estimate", *CHALLENGE, "--gpu", "abacus"], "--gpu should be one of avx512, "),
        (["--estimate", *CHALLENGE, "--nodes", "0"], "num_nodes should be above 0. Received: 0"),
        (["--estimate", *CHALLENGE, "--landmarks", "9000000"], "num_landmarks should be at most num_train"),
        (["--estimate", *CHALLENGE, "--image-kilobytes", "0"], "--image-kilobytes should be above 0"),
        (["--estimate", *CHALLENGE, "--set", "retrieval.dimension=3"], "Did you mean retrieval.dimensions?"),
    ],
)
def test_options_that_make_no_sense_are_a_line_and_exit_2(options, wanted, capsys):
    assert plan(*options) == 2
    error = capsys.readouterr().err
    assert wanted in error and error.count("\n") == 1


def test_the_number_of_test_images_alone_may_be_given(capsys):
    assert plan("--estimate", "--images-test", "1000") == 0
    assert capsys.readouterr().out.startswith("144 training + ")  # of the toy world, which is not drawn
