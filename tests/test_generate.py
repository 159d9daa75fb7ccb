"""python -m attngan_tf.generate."""

import numpy as np
import pytest
from absl import flags
from PIL import Image

from attngan_tf import generate
from attngan_tf.config import UserError


def run(*arguments):
    """What the command does with these arguments."""
    values = flags.FlagValues()
    generate.define_flags(values)
    rest = values(["generate", *arguments])
    generate.main(values, rest[1:])


def test_pictures_and_a_contact_sheet(tiny_workdir, tmp_path, capsys):
    run(
        f"--workdir={tiny_workdir}",
        f"--output={tmp_path}",
        "--samples=2",
        "--attention",
        "--seed=5",
        "a red bird",
        "a Blue/bird!",
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "001_a_red_bird_0.png",
        "001_a_red_bird_0_attention.png",
        "001_a_red_bird_1.png",
        "001_a_red_bird_1_attention.png",
        "002_a_blue_bird_0.png",
        "002_a_blue_bird_0_attention.png",
        "002_a_blue_bird_1.png",
        "002_a_blue_bird_1_attention.png",
        "contact_sheet.png",
    ]
    first, second = (
        np.asarray(Image.open(tmp_path / f"001_a_red_bird_{k}.png"))
        for k in range(2)
    )
    assert first.shape == (16, 16, 3)
    assert not np.array_equal(first, second)
    assert "9 files" in capsys.readouterr().out


def test_sample_k_is_the_picture_of_seed_plus_k(tiny_workdir, tmp_path):
    common = [f"--workdir={tiny_workdir}", "a red bird"]
    run(f"--output={tmp_path}/a", "--seed=5", "--samples=3", *common)
    run(f"--output={tmp_path}/b", "--seed=7", *common)
    a = (tmp_path / "a" / "001_a_red_bird_2.png").read_bytes()
    b = (tmp_path / "b" / "001_a_red_bird_0.png").read_bytes()
    assert a == b


def test_captions_of_a_file(tiny_workdir, tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_bytes(b"a red bird\r\n\n  a blue bird\nbad \xff bytes\n")
    run(
        f"--workdir={tiny_workdir}",
        f"--captions_file={captions}",
        f"--output={tmp_path}/out",
    )
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--workdir"),
        (["--workdir=nowhere", "a bird"], "config.json"),
        (["--workdir={tiny}"], "needs a caption"),
        (["--workdir={tiny}", "--captions_file=none.txt"], "none.txt"),
        (["--workdir={tiny}", "--checkpoint=99", "a bird"], "2, 4"),
    ],
)
def test_a_mistake_is_one_line(tiny_workdir, arguments, said):
    arguments = [text.format(tiny=tiny_workdir) for text in arguments]
    with pytest.raises(UserError) as raised:
        run(*arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
