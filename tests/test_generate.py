"""python -m attngan_tf.generate."""

import numpy as np
import pytest
from absl import flags
from PIL import Image

import attngan_tf
from attngan_tf import generate
from attngan_tf.errors import UserError
from attngan_tf.visualization import image_files


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
    np.testing.assert_array_equal(
        image_files.best_indices(scores, 2), [1, 2, 5, 3]
    )


def test_captions_of_a_file(tiny_workdir, tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_bytes(b"a red bird\r\n\n  a blue bird\nbad \xff bytes\n")
    run(
        f"--workdir={tiny_workdir}",
        f"--captions_file={captions}",
        f"--output={tmp_path}/out",
    )
    assert len(list((tmp_path / "out").iterdir())) == 4


def picture(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def texts(path) -> dict[str, str]:
    with Image.open(path) as image:
        return image.text


SOFTWARE = {"Software": f"attngan_tf {attngan_tf.__version__}", "step": "4"}


def test_every_file_tells_captions_seeds_and_step(tiny_workdir, tmp_path):
    captions = ["a red bird", "caf\u00e9 \u9ce5"]
    run(
        f"--workdir={tiny_workdir}",
        f"--output={tmp_path}",
        *["--samples=2", "--attention", "--seed=5"],
        *captions,
    )
    for path in tmp_path.iterdir():
        if path.name != "contact_sheet.png":
            number, sample = path.name[:3], path.stem.split("_attention")[0]
            assert texts(path) == {
                **SOFTWARE,
                "caption": captions[int(number) - 1],
                "seed": str(5 + int(sample[-1])),
            }
    assert texts(tmp_path / "contact_sheet.png") == {
        **SOFTWARE,
        "caption": "\n".join(captions),
        "seed": "5 6\n5 6",
    }


def test_the_seed_told_draws_the_picture_again(tiny_workdir, tmp_path):
    """Also of the best of several, of a caption's own seed."""
    run(
        f"--workdir={tiny_workdir}",
        f"--output={tmp_path}",
        *["--best_of=4", "--samples=2", "a red bird"],
    )
    model = attngan_tf.load(str(tiny_workdir))
    seeds = []
    for sample in range(2):
        path = tmp_path / f"001_a_red_bird_{sample}.png"
        seeds.append(texts(path)["seed"])
        again = model.generate(["a red bird"], [int(seeds[-1])])[0]
        np.testing.assert_allclose(picture(path), again, atol=1)
    assert texts(tmp_path / "contact_sheet.png")["seed"] == " ".join(seeds)


GRID = "--grid=a {red|blue} bird with {white|black|} wings"
VARIANTS = [
    f"a {one} bird with {other}wings"
    for one in ("red", "blue")
    for other in ("white ", "black ", "")
]


def test_a_grid_has_a_row_a_sentence_and_a_column_a_noise(
    tiny_workdir, tmp_path, capsys
):
    run(
        f"--workdir={tiny_workdir}",
        f"--output={tmp_path}",
        *["--samples=3", "--seed=7", GRID],
    )
    assert "all at once: " in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 6 * 3 + 1
    model = attngan_tf.load(str(tiny_workdir))
    sheet = picture(tmp_path / "grid.png")
    assert texts(tmp_path / "grid.png") == {
        **SOFTWARE,
        "caption": "\n".join(VARIANTS),
        "seed": "\n".join(["7 8 9"] * 6),
    }
    size = 16 * 8  # enlarged to be seen
    row_height = (sheet.shape[0] + 4) // 6
    for row, caption in enumerate(VARIANTS):
        expected = model.generate([caption] * 3, range(7, 10))
        for column in range(3):
            bottom, left = (row + 1) * row_height - 4, column * (size + 4)
            tile = sheet[bottom - size : bottom : 8, left : left + size : 8]
            np.testing.assert_allclose(tile, expected[column], atol=1)


def test_variants_of_one_sample_stand_side_by_side(tiny_workdir, tmp_path):
    run(f"--workdir={tiny_workdir}", f"--output={tmp_path}", "--seed=7", GRID)
    sheet = picture(tmp_path / "grid.png")
    model = attngan_tf.load(str(tiny_workdir))
    expected = model.generate(VARIANTS, [7] * 6)
    width, size = (sheet.shape[1] + 4) // 4, 16 * 8
    left = (width - 4 - size) // 2
    for column in range(4):
        tile = sheet[:size:8, column * width + left :][:, :size:8]
        np.testing.assert_allclose(tile, expected[column], atol=1)


def test_a_grid_without_a_seed_has_the_first_sentences_own(
    tiny_workdir, tmp_path
):
    common = [f"--workdir={tiny_workdir}", f"--output={tmp_path}"]
    run(*common, "--attention", GRID)
    (own,) = attngan_tf.load(str(tiny_workdir)).caption_seeds(VARIANTS[:1])
    files = sorted(tmp_path.glob("00*.png"))
    assert len(files) == 6 * 2
    assert {texts(path)["seed"] for path in files} == {str(own)}


@pytest.mark.parametrize(
    ("kind", "captions", "seeds"),
    [
        ("captions", ["a red bird", "a bird with blue wings"], (5, 5)),
        ("noise", ["a red bird"], (5, 6)),
    ],
)
def test_a_row_between_two_pictures(
    tiny_workdir, tmp_path, kind, captions, seeds
):
    run(
        f"--workdir={tiny_workdir}",
        f"--output={tmp_path}",
        *[f"--interpolate={kind}", "--steps_between=3", "--seed=5"],
        *captions,
    )
    files = [tmp_path / f"interpolation_{i:02d}.png" for i in range(5)]
    assert {*tmp_path.iterdir()} == {*files, tmp_path / "interpolation.png"}
    model = attngan_tf.load(str(tiny_workdir))
    for end in (0, -1):
        expected = model.generate([captions[end]], [seeds[end]])[0]
        np.testing.assert_array_equal(picture(files[end]), expected)
    told = {
        **SOFTWARE,
        "caption": f"{captions[0]}\n{captions[-1]}",
        "seed": f"{seeds[0]}\n{seeds[1]}",
    }
    shares = ["0", "0.25", "0.5", "0.75", "1"]
    for path, share in zip(files, shares, strict=True):
        assert texts(path) == {**told, "share": share}
    row = tmp_path / "interpolation.png"
    assert texts(row) == told
    shown = picture(row)[-16 * 8 :: 8]
    for place, path in enumerate(files):
        left = place * (16 * 8 + 4)
        tile = shown[:, left : left + 16 * 8 : 8]
        np.testing.assert_array_equal(tile, picture(path))


def test_a_row_without_a_seed_begins_with_the_captions_own(
    tiny_workdir, tmp_path
):
    run(
        f"--workdir={tiny_workdir}",
        f"--output={tmp_path}",
        *["--interpolate=captions", "a red bird", "a blue bird"],
    )
    model = attngan_tf.load(str(tiny_workdir))
    np.testing.assert_array_equal(
        picture(tmp_path / "interpolation_00.png"),
        model.generate(["a red bird"])[0],
    )
    assert (tmp_path / "interpolation_07.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--workdir"),
        (["--workdir=nowhere", "a bird"], "config.json"),
        (["--workdir={tiny}"], "needs a caption"),
        (["--workdir={tiny}", "--captions_file=none.txt"], "none.txt"),
        (["--workdir={tiny}", "--checkpoint=99", "a bird"], "2, 4"),
        (["--workdir={tiny}", "--step=99", "a bird"], "2, 4"),
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
        (["--workdir={tiny}", "--grid=a bird"], "two or more choices"),
        (["--workdir={tiny}", "--grid="], "two or more choices"),
        (
            ["--workdir={tiny}", "--grid=a {{b|c}}", "a bird"],
            "received also 'a bird'",
        ),
        (
            ["--workdir={tiny}", "--grid=a {{b|c}}", "--best_of=3"],
            "--grid must stand without --best_of",
        ),
        (
            [
                "--workdir={tiny}",
                "--grid=a {{b|c}}",
                "--interpolate=noise",
            ],
            "--grid must stand without --interpolate",
        ),
        (
            [
                "--workdir={tiny}",
                "--interpolate=noise",
                "--attention",
                "a bird",
            ],
            "--interpolate must stand without --attention",
        ),
        (
            ["--workdir={tiny}", "--interpolate=noise", "a bird", "another"],
            "--interpolate=noise needs 1 captions; received 2",
        ),
        (
            ["--workdir={tiny}", "--interpolate=captions", "a bird"],
            "--interpolate=captions needs 2 captions; received 1",
        ),
        (
            ["--workdir={tiny}", "--steps_between=3", "a bird"],
            "--steps_between must stand with --interpolate",
        ),
    ],
)
def test_a_mistake_is_one_line(tiny_workdir, arguments, said):
    arguments = [text.format(tiny=tiny_workdir) for text in arguments]
    with pytest.raises(UserError) as raised:
        run(*arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
