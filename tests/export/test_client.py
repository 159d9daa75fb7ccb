"""The client with a development server of exported models."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from export import client

CAPTION = "a small red bird with a white belly"


@pytest.fixture(params=["rest", "grpc"])
def address(request, deployed_server):
    """The flag that names the server's REST or gRPC address."""
    if request.param == "rest":
        return f"--url={deployed_server.url}"
    return f"--grpc={deployed_server.grpc}"


@pytest.fixture
def url(deployed_server):
    return f"--url={deployed_server.url}"


@pytest.fixture
def image_of(generator):
    """The PNG image of a caption and a seed."""

    def run(caption: str, seed: int) -> bytes:
        answer = generator.run("generate_png", captions=[caption], seeds=[seed])
        return answer["image_bytes"][0]

    return run


def test_without_a_seed_the_image_is_that_of_serving_default(
    call, address, generator, tmp_path
):
    code, out, err = call(address, CAPTION, "--output=bird.png")
    assert (code, err) == (0, "")
    assert out == f"bird.png  {CAPTION}\n"
    answer = generator.run("serving_default", captions=[CAPTION])
    assert (tmp_path / "bird.png").read_bytes() == answer["image_bytes"][0]


def test_a_seed_gives_the_image_of_generate_png(
    call, address, image_of, tmp_path
):
    seed = 2**53 - 1
    code, out, _ = call(address, f"--seed={seed}", CAPTION)
    assert code == 0
    assert f"seed {seed}" in out
    image = (tmp_path / "picture.png").read_bytes()
    assert image == image_of(CAPTION, seed)


def test_several_captions_and_samples_are_numbered(
    call, url, image_of, tmp_path
):
    flags = ("--samples=2", "--output=x.png", "--seed=5")
    code, out, _ = call(url, "red bird", *flags, "blue bird")
    assert code == 0
    wanted = [("red bird", 5), ("red bird", 6), ("blue bird", 5)]
    wanted.append(("blue bird", 6))
    for k, (caption, seed) in enumerate(wanted, start=1):
        image = (tmp_path / f"x_{k:03d}.png").read_bytes()
        assert image == image_of(caption, seed)
        assert f"x_{k:03d}.png  seed {seed}  {caption}\n" in out
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("choice", ["--version=1", "--label=canary"])
def test_a_version_or_a_label_is_chosen(call, address, choice, tmp_path):
    assert call(address, choice, CAPTION)[0] == 0
    assert (tmp_path / "picture.png").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--version=9"], "version 9"),
        (["--label=nobody"], "nobody"),
        (["--model_name=nobody"], "nobody"),
        (
            ["--model_name=attngan_damsm", "--attention"],
            "generate_with_attention",
        ),
        (["--rank_model=toy", "--best_of=2"], "match"),
    ],
)
def test_what_is_not_served_is_an_error(
    error_of, address, flags, words, tmp_path
):
    assert words in error_of(address, *flags, "--retries=0", CAPTION)
    assert not list(tmp_path.iterdir())


def test_attention_is_written_without_padding(
    call, address, generator, tmp_path
):
    caption = "a red bird with zxqv wings"
    code, _, err = call(address, "--attention", "--seed=3", caption)
    assert code == 0
    note = f"the model does not use these words of {caption!r}: zxqv"
    assert err.strip() == note
    found = json.loads((tmp_path / "picture_attention.json").read_text())
    answer = generator.run(
        "generate_with_attention", captions=[caption], seeds=[3]
    )
    count = answer["lengths"][0]
    assert found["words"] == ["a", "red", "bird", "with", "wings"]
    assert (found["caption"], found["seed"]) == (caption, 3)
    maps = [name for name in answer if name.startswith("attention_")]
    assert maps
    for name in maps:
        np.testing.assert_allclose(
            found[name], answer[name][0][:count], atol=6e-5
        )
    image = (tmp_path / "picture.png").read_bytes()
    assert image == answer["image_bytes"][0]


@pytest.mark.parametrize(
    ("caption", "words", "note"),
    [
        ("A RED bird, a", ["a", "red", "bird"], ""),
        ("a café bird", ["a", "caf", "bird"], ""),
        ("红色的鸟", ["红", "色", "的", "鸟"], ""),
        ("红色的鸟", ["红", "色"], "'红色的鸟': 的, 鸟"),
        ("นี้นก", ["นี้"], "'นี้นก': น, ก"),
        ("Weiße ΟΔΟΣ", ["weisse", "οδοσ"], ""),
        ("weiße", ["weie"], ""),
        ("red_bird soft\u00adware", ["red_bird", "software"], ""),
        ("A tiny, tiny bird", ["a", "bird"], "'A tiny, tiny bird': tiny"),
        ("красная птица", ["<end>"], "knows no word of 'красная птица'"),
        ("लाल चिड़िया", ["लाल"], "'लाल चिड़िया': चिड\u093cिया"),
    ],
)
def test_ignored_words_are_reported(caption, words, note):
    found = client.note_of_ignored(caption, words)
    assert note in found
    assert bool(note) == bool(found)


def test_the_images_with_the_highest_scores_are_written(
    call, address, damsm, image_of, tmp_path
):
    flags = ("--best_of=5", "--samples=3", "--seed=7", "--attention")
    code, out, _ = call(address, *flags, CAPTION)
    assert code == 0
    seeds = range(7, 12)
    images = [image_of(CAPTION, seed) for seed in seeds]
    answer = damsm.run("match", captions=[CAPTION] * 5, image_bytes=images)
    scores = dict(zip(seeds, answer["sentence_score"], strict=True))
    best = sorted(seeds, key=lambda seed: -scores[seed])[:3]
    pattern = r"picture_00\d.png  seed (\d+)  sentence_score (\S+)  word_score"
    lines = re.findall(pattern, out)
    assert [int(seed) for seed, _ in lines] == best
    for k, (seed, score) in enumerate(lines, start=1):
        assert float(score) == pytest.approx(scores[int(seed)], abs=1e-3)
        image = (tmp_path / f"picture_{k:03d}.png").read_bytes()
        assert image == image_of(CAPTION, int(seed))
        text = (tmp_path / f"picture_{k:03d}_attention.json").read_text()
        assert json.loads(text)["seed"] == int(seed)


def test_stdout_gets_only_the_image(url, generator):
    run = subprocess.run(
        [
            *(sys.executable, "-m", "export.client", url, "--output=-"),
            b"a red bird \xff",  # a shell passes on what is not UTF-8
        ],
        cwd=pathlib.Path(client.__file__).parents[1],
        capture_output=True,
        check=True,
    )
    caption = "a red bird \ufffd"
    answer = generator.run("serving_default", captions=[caption])
    assert run.stdout == answer["image_bytes"][0]
    assert run.stderr == b""


def test_the_file_alone_needs_no_packages(deployed_server, url, tmp_path):
    alone = tmp_path / "client.py"
    shutil.copy(client.__file__, alone)
    # -I -S: no folder of this project, and no installed package.
    command = [sys.executable, "-I", "-S", str(alone), CAPTION]
    output = tmp_path / "bird.png"
    subprocess.run([*command, url, f"--output={output}"], check=True)
    assert output.read_bytes().startswith(client.PNG)
    failed = subprocess.run(
        [*command, f"--grpc={deployed_server.grpc}"],
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 1
    assert "pip install tensorflow-serving-api" in failed.stderr
    assert failed.stderr.count("\n") == 1
