"""One replica and two give the same numbers."""

import json
import subprocess
import sys

import pytest


def losses(tiny_config, folder, **fields) -> list[dict[str, float]]:
    """Every reported term of a run in a process of its own."""
    config = tiny_config(
        workdir=str(folder),
        damsm_steps=5,
        gan_steps=5,
        sample_interval=100,
        checkpoint_interval=100,
        evaluation_interval=100,
        **fields,
    )
    flags = [
        f"--{name}={value}"
        for name, value in vars(config).items()
        if value is not None
    ]
    subprocess.run(
        [sys.executable, "-m", "attngan_tf.train", *flags],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [row for row in found if "images_per_second" in row]


@pytest.mark.slow
@pytest.mark.parametrize("released", [False, True])
def test_two_replicas_compute_what_one_does(tiny_config, tmp_path, released):
    fields = {
        "gan_mismatched_pairs": released,
        "damsm_same_class_mask": released,
        "discriminator_augmentation": released,
    }
    one = losses(tiny_config, tmp_path / "one", **fields)
    two = losses(
        tiny_config,
        tmp_path / "two",
        distribution="mirrored",
        virtual_devices=2,
        **fields,
    )
    assert len(one) == len(two) == 10
    for row, other in zip(one, two, strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            if name not in ("stage", "time", "images_per_second"):
                assert other[name] == pytest.approx(value, rel=1e-4, abs=1e-4)
