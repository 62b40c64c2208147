import json

import pytest

from landmark_spark.rates import KINDS, Rate, load_rates, values_of


def test_every_rate_of_the_data_file_says_where_it_comes_from():
    rates = load_rates()
    assert {each.kind for each in rates.values()} == set(KINDS)
    for name, each in rates.items():
        assert (each.kind == "measured") is bool(each.hardware and each.date), name


def test_no_gpu_was_at_hand_so_that_none_is_measured():
    rates = load_rates()
    gpus = {name for name in rates if name.startswith("network_")} - {"network_avx2", "network_avx512", "network_amx"}
    assert gpus == {"network_t4", "network_v100", "network_rtx3090", "network_a100", "network_h100"}
    assert {rates[name].kind for name in gpus} == {"assumed"}


def test_published_throughputs_become_gflops_of_the_same_network():
    # 15.47 billion multiplications and additions of VGG16 at 224 x 224 are 30.94 GFLOP.
    rates = values_of(load_rates())
    assert rates["network_v100"] == pytest.approx(64 / 0.06023 * 30.94, rel=0.005)
    assert rates["network_rtx3090"] == pytest.approx(1729.39 * 30.94, rel=0.005)
    share = rates["network_v100"] / 125_000
    assert rates["network_a100"] == pytest.approx(312_000 * share, rel=0.005)
    assert rates["network_h100"] == pytest.approx(989_000 * share, rel=0.005)
    assert rates["network_t4"] == pytest.approx(65_000 * share, rel=0.005)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"value": 0}, "above 0"),
        ({"value": "3"}, "above 0"),
        ({"value": float("nan")}, "above 0"),
        ({"kind": "guessed"}, "one of measured, counted, assumed. Received: 'guessed'"),
        ({"source": ""}, "a unit and a source"),
        ({"hardware": ""}, "name hardware and date"),
        ({"date": ""}, "name hardware and date"),
    ],
)
def test_a_rate_that_says_too_little_is_refused(changed, wanted):
    whole = {"value": 1.0, "unit": "s", "kind": "measured", "source": "x", "hardware": "y", "date": "2026-01-01"}
    Rate(**whole)
    with pytest.raises(ValueError, match=wanted):
        Rate(**whole | changed)


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"a": {"value": 1}}), json.dumps({"a": 1})])
def test_a_file_of_something_else_is_refused(text, tmp_path):
    path = tmp_path / "rates.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="the rates should be readable"):
        load_rates(path)
