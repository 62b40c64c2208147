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
        (
            ["--estimate", *CHALLENGE, "--gpu", "amx"],  # of a CPU
            "--gpu should be one of v100, rtx3090, t4, a100, h100. Received: 'amx'",
        ),
        (["--estimate", *CHALLENGE, "--cpu", "t4"], "--cpu should be one of avx512, amx, avx2. Received: 't4'"),
        (
            ["--estimate", *CHALLENGE, "--nodes", "0"],
            "--nodes should be at least 1 and at most 1,000,000. Received: 0",
        ),
        (
            ["--estimate", *CHALLENGE, "--landmarks", "1225030"],
            "--landmarks should be at most the training images (--images-train), 1225029. Received: 1225030",
        ),
        (  # the toy world's 12 landmarks, which are counted
            ["--estimate", "--images-train", "5"],
            "--landmarks should be at most the training images (--images-train), 5. Received: 12",
        ),
        (["--estimate", *CHALLENGE, "--image-kilobytes", "0"], "--image-kilobytes should be above 0"),
        (["--estimate", *CHALLENGE, "--set", "retrieval.dimension=3"], "Did you mean retrieval.dimensions?"),
    ],
)
def test_options_that_make_no_sense_are_a_line_and_exit_2(options, wanted, capsys):
    assert plan(*options) == 2
    error = capsys.readouterr().err
    assert wanted in error and error.count("\n") == 1


@pytest.mark.parametrize("option", ["--image-kilobytes", "--bandwidth", "--memory", "--price-per-node-hour"])
@pytest.mark.parametrize("number", ["inf", "nan", "1e18", "-1"])
def test_a_number_that_no_cluster_has_is_refused_by_the_options_name(option, number, capsys):
    assert plan("--estimate", *CHALLENGE, f"{option}={number}") == 2
    least = "at least 0" if "price" in option else "above 0"
    wanted = f"error: {option} should be {least} and at most 1,000,000,000. Received: {float(number)}\n"
    assert capsys.readouterr().err == wanted


@pytest.mark.parametrize("option", ["--images-train", "--images-test", "--images-non-landmark", "--landmarks"])
def test_a_count_beyond_all_archives_is_refused(option, capsys):
    assert plan("--estimate", *CHALLENGE, option, str(10**18)) == 2
    assert f"{option} should be at least " in capsys.readouterr().err


def test_the_ends_of_the_ranges_are_taken(capsys):
    images = ["--images-train", str(10**12), "--images-test", "1", "--landmarks", "1", "--images-non-landmark", "0"]
    assert plan("--estimate", *images, "--nodes", "1", "--gpus", "0", "--price-per-node-hour", "0") == 0
    assert capsys.readouterr().out.startswith("1,000,000,000,000 training + 1 test images, 1 landmarks; 1 node ")


@pytest.mark.parametrize("amount", ["0g", "infg", "much"])
def test_the_drivers_memory_should_be_an_amount(amount, capsys):
    assert plan("--estimate", *CHALLENGE, "--set", f"spark.driver_memory={amount}") == 2
    assert f"spark.driver_memory should be an amount such as 2g. Received: {amount}" in capsys.readouterr().err


def test_the_number_of_test_images_alone_may_be_given(capsys):
    assert plan("--estimate", "--images-test", "1000") == 0
    assert capsys.readouterr().out.startswith("144 training + ")  # of the toy world, which is not drawn
