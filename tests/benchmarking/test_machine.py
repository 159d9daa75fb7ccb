"""Tests of attngan_tf.benchmarking.machine."""

import pytest

from attngan_tf.benchmarking import machine


@pytest.mark.parametrize(
    ("seconds", "sizes", "fastest"),
    [
        ([0.01, 0.02, 0.2, 0.1], 3, 1024),  # none after the long third
        ([0.2], 1, 512),
        ([0.01, 0.01, 0.01, 0.01, 0.09], 5, 4096),
    ],
)
def test_matrices_grow_until_a_product_takes_long(
    monkeypatch, seconds, sizes, fastest
):
    tried = {}

    def product(size, dtype):
        assert dtype == "bfloat16"
        tried[size] = seconds[len(tried)]
        return tried[size]

    monkeypatch.setattr(machine, "fastest_product", product)
    peak = machine.matrix_product_peak("bfloat16")
    assert list(tried) == [512, 1024, 2048, 4096, 8192][:sizes]
    assert peak == 2 * fastest**3 / tried[fastest]


@pytest.mark.parametrize(
    ("content", "lacks"),
    [
        ("processor: 0\nflags\t\t: fpu avx2 fma\n", True),
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16\n", False),
        ("Features\t: fp asimd bf16\n", False),
        ("model name\t: bf16less\n", False),  # no list of instructions
    ],
)
def test_processors_without_bfloat16(monkeypatch, tmp_path, content, lacks):
    path = tmp_path / "cpuinfo"
    path.write_text(content)
    monkeypatch.setattr(machine, "CPU_INFO", path)
    assert machine.lacks_bfloat16() == lacks
