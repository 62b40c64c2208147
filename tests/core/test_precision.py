import pytest

from landmark_spark.core.precision import choose_precision, resolve_precision


@pytest.mark.parametrize(
    ("capability", "flags", "expected"),
    [
        (None, {"avx2", "avx512f"}, "float32"),
        (None, {"avx512f", "avx512_bf16"}, "float32"),  # dot products without tiles: slower than float32
        (None, {"avx512_bf16", "amx_tile", "amx_bf16"}, "bfloat16"),
        (8.0, {"avx2"}, "bfloat16"),  # Ampere
        (9.0, set(), "bfloat16"),
        (7.5, {"amx_bf16"}, "float32"),  # the GPU computes, whatever the processor has
    ],
)
def test_auto_is_bfloat16_where_the_hardware_multiplies_matrices_of_it(capability, flags, expected):
    assert choose_precision(capability=capability, cpu_flags=frozenset(flags)) == expected


def test_a_named_precision_is_taken():
    assert [resolve_precision(each) for each in ("float32", "bfloat16", "float16")] == [
        "float32",
        "bfloat16",
        "float16",
    ]
    assert resolve_precision("auto") in ("float32", "bfloat16")


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="auto or one of float32, bfloat16, float16. Received: 'double'"):
        resolve_precision("double")
