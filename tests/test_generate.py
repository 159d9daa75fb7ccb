"""python -m attngan_tf.generate."""

import numpy as np
import pytest
from absl import flags
from PIL import Image

import attngan_tf
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


def test_the_best_of_several_come_first(tiny_workdir, tmp_path):
    captions = ["a red bird", "a blue bird with white wings"]
    run(
        f"--workdir={tiny_workdir}",
        f"--output={tmp_path}",
        "--seed=5",
        "--best_of=5",
        "--samples=2",
        *captions,
    )
    model = attngan_tf.load(str(tiny_workdir))
    for number, caption in enumerate(captions, 1):
        pictures = model.generate([caption] * 5, range(5, 10))
        scores = model.score([caption] * 5, pictures)["sentence_score"]
        ranked = sorted(range(5), key=lambda k: -scores[k])
        for sample in range(2):
            (path,) = tmp_path.glob(f"{number:03d}_*_{sample}.png")
            shown = np.asarray(Image.open(path))
            np.testing.assert_array_equal(shown, pictures[ranked[sample]])
    assert len(list(tmp_path.iterdir())) == 5


def test_rows_of_the_best():
    scores = np.array([[0.1, 0.9, 0.5], [0.7, 0.7, 0.8]])
    np.testing.assert_array_equal(generate.best_rows(scores, 2), [1, 2, 5, 3])


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
        (
            [
                "--workdir={tiny}",
                "--captions_file={tiny}/gan/ckpt-4.index",
            ],
            "another kind of file",
        ),
        (
            ["--workdir={tiny}", "--best_of=2", "--samples=3", "a bird"],
            "--best_of must be at least --samples",
        ),
    ],
)
def test_a_mistake_is_one_line(tiny_workdir, arguments, said):
    arguments = [text.format(tiny=tiny_workdir) for text in arguments]
    with pytest.raises(UserError) as raised:
        run(*arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
