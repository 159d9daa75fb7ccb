"""python -m attngan_tf.generate."""

import numpy as np
import pytest
from absl import flags
from PIL import Image

import attngan_tf
from attngan_tf import generate
from attngan_tf.errors import UserError

SOFTWARE = {"Software": f"attngan_tf {attngan_tf.__version__}", "step": "4"}


@pytest.fixture
def run(tiny_workdir, tiny_model, tmp_path, monkeypatch):
    """Runs the command on a model that is loaded once for all tests."""

    def loaded(workdir, checkpoint):
        assert (workdir, checkpoint) == (str(tiny_workdir), "last")
        return tiny_model

    monkeypatch.setattr(generate, "load", loaded)

    def run(*arguments):
        command(f"--workdir={tiny_workdir}", f"--output={tmp_path}", *arguments)

    return run


def command(*arguments):
    values = flags.FlagValues()
    generate.define_flags(values)
    generate.main(values, values(["generate", *arguments])[1:])


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def texts(path) -> dict[str, str]:
    with Image.open(path) as image:
        return image.text


def test_images_figures_and_a_contact_sheet(run, tmp_path, capsys):
    captions = ["a red bird", "caf\u00e9 \u9ce5/Bird!"]
    run("--samples=2", "--attention", "--seed=5", *captions)
    paths = {path.name: path for path in tmp_path.iterdir()}
    assert len(paths) == 9
    assert "9 files" in capsys.readouterr().out
    for sample in range(2):
        for ending in ("", "_attention"):
            assert f"001_a_red_bird_{sample}{ending}.png" in paths
    sheet = paths.pop("contact_sheet.png")
    for name, path in paths.items():
        sample = path.stem.removesuffix("_attention")[-1]
        assert texts(path) == {
            **SOFTWARE,
            "caption": captions[int(name[:3]) - 1],
            "seed": str(5 + int(sample)),
        }
    assert texts(sheet) == {
        **SOFTWARE,
        "caption": "\n".join(captions),
        "seed": "5 6\n5 6",
    }


def test_sample_k_is_the_image_of_seed_plus_k(run, tmp_path, tiny_model):
    run("--seed=5", "--samples=3", "a red bird")
    expected = tiny_model.generate(["a red bird"] * 3, [5, 6, 7])
    for sample in range(3):
        found = pixels(tmp_path / f"001_a_red_bird_{sample}.png")
        np.testing.assert_array_equal(found, expected[sample])


def test_best_of_writes_the_images_of_highest_score(run, tmp_path, tiny_model):
    caption = "a blue bird with white wings"
    run("--seed=5", "--best_of=5", "--samples=2", caption)
    images = tiny_model.generate([caption] * 5, range(5, 10))
    scores = tiny_model.score([caption] * 5, images)["sentence_score"]
    ranked = sorted(range(5), key=lambda k: -scores[k])
    for sample in range(2):
        (path,) = tmp_path.glob(f"001_*_{sample}.png")
        np.testing.assert_array_equal(pixels(path), images[ranked[sample]])
        assert texts(path)["seed"] == str(5 + ranked[sample])
    assert len(list(tmp_path.iterdir())) == 3


def test_the_seed_in_a_file_generates_its_image_again(
    run, tmp_path, tiny_model
):
    """Without --seed, a caption has its own."""
    run("a red bird")
    path = tmp_path / "001_a_red_bird_0.png"
    again = tiny_model.generate(["a red bird"], [int(texts(path)["seed"])])[0]
    np.testing.assert_allclose(pixels(path), again, atol=1)


GRID = "--grid=a {red|blue} bird with {white|black|} wings"
VARIANTS = [
    f"a {one} bird with {other}wings"
    for one in ("red", "blue")
    for other in ("white ", "black ", "")
]


def test_a_grid_has_a_row_per_sentence_and_a_column_per_noise(
    run, tmp_path, tiny_model, capsys
):
    run("--samples=3", "--seed=7", GRID)
    assert "overview: " in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 6 * 3 + 1
    sheet = pixels(tmp_path / "grid.png")
    assert texts(tmp_path / "grid.png") == {
        **SOFTWARE,
        "caption": "\n".join(VARIANTS),
        "seed": "\n".join(["7 8 9"] * 6),
    }
    size = 16 * 8  # enlarged
    row_height = (sheet.shape[0] + 4) // 6
    for row, caption in enumerate(VARIANTS):
        expected = tiny_model.generate([caption] * 3, range(7, 10))
        for column in range(3):
            bottom, left = (row + 1) * row_height - 4, column * (size + 4)
            tile = sheet[bottom - size : bottom : 8, left : left + size : 8]
            np.testing.assert_allclose(tile, expected[column], atol=1)


@pytest.mark.parametrize(
    ("kind", "captions", "seeds"),
    [
        ("captions", ["a red bird", "a bird with blue wings"], (5, 5)),
        ("noise", ["a red bird"], (5, 6)),
    ],
)
def test_a_row_of_interpolated_images(
    run, tmp_path, tiny_model, kind, captions, seeds
):
    run(f"--interpolate={kind}", "--steps_between=3", "--seed=5", *captions)
    files = [tmp_path / f"interpolation_{i:02d}.png" for i in range(5)]
    assert {*tmp_path.iterdir()} == {*files, tmp_path / "interpolation.png"}
    for end in (0, -1):
        expected = tiny_model.generate([captions[end]], [seeds[end]])[0]
        np.testing.assert_array_equal(pixels(files[end]), expected)
    common = {
        **SOFTWARE,
        "caption": f"{captions[0]}\n{captions[-1]}",
        "seed": f"{seeds[0]}\n{seeds[1]}",
    }
    row = tmp_path / "interpolation.png"
    assert texts(row) == common
    shown = pixels(row)[-16 * 8 :: 8]
    for index, path in enumerate(files):
        (fraction,) = texts(path).items() - common.items()
        assert float(fraction[1]) == index / 4
        left = index * (16 * 8 + 4)
        tile = shown[:, left : left + 16 * 8 : 8]
        np.testing.assert_array_equal(tile, pixels(path))


WORKDIR = "--workdir={tiny}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--workdir"),
        ([WORKDIR], "needs a caption"),
        ([WORKDIR, "--captions_file=none.txt"], "none.txt"),
        (
            [WORKDIR, "--captions_file={tiny}/gan/ckpt-4.index"],
            "must be text in UTF-8",
        ),
        (
            [WORKDIR, "--best_of=2", "--samples=3", "a bird"],
            "--best_of must be at least --samples",
        ),
        (
            [WORKDIR, "--grid=a {{b|c}}", "a bird"],
            "received also 'a bird'",
        ),
        (
            [WORKDIR, "--grid=a {{b|c}}", "--best_of=3"],
            "--grid must be used without --best_of",
        ),
        (
            [WORKDIR, "--interpolate=noise", "--attention", "a bird"],
            "--interpolate must be used without --attention",
        ),
        (
            [WORKDIR, "--interpolate=noise", "a bird", "another"],
            "--interpolate=noise needs 1 captions; received 2",
        ),
        (
            [WORKDIR, "--steps_between=3", "a bird"],
            "--steps_between must be used with --interpolate",
        ),
    ],
)
def test_a_user_error_is_one_line(tiny_workdir, tmp_path, arguments, message):
    arguments = [text.format(tiny=tiny_workdir) for text in arguments]
    with pytest.raises(UserError) as raised:
        command(f"--output={tmp_path}", *arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_several_single_words_get_a_hint_about_quotes(run, capsys):
    run("a", "red", "bird")
    assert "quotes to make it one caption" in capsys.readouterr().out
    run("red bird", "bird")
    assert "quotes" not in capsys.readouterr().out


def test_a_wrong_workdir_leaves_no_output_folder(tmp_path):
    output = tmp_path / "new"
    with pytest.raises(UserError, match="a workdir holds"):
        command(f"--workdir={tmp_path}", f"--output={output}", "a bird")
    assert not output.exists()
