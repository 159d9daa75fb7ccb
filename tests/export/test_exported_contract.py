"""The exported generator in a server: strings in, PNG out."""

import base64
import concurrent.futures
import contextlib
import io
import shutil

import numpy as np
import pytest
from contract import GENERATOR, SAME, rows
from deployed import DEPLOY
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from server_process import real_server

MODEL = "attngan"


@pytest.fixture(
    scope="module", params=["export.serve", "tensorflow_model_server"]
)
def served(request, tmp_path_factory):
    """A server of the tiny run's generator, with batching."""
    if request.param == "export.serve":
        yield request.getfixturevalue("deployed_server")
        return
    binary = shutil.which(request.param)
    if not binary:
        pytest.skip("there is no tensorflow_model_server on PATH")
    batching = f"--batching_parameters_file={DEPLOY / 'batching.pbtxt'}"
    base = request.getfixturevalue("generator_dir")
    log = tmp_path_factory.mktemp("server") / "log"
    with real_server(
        binary, base, log, "--enable_batching", batching, model=MODEL
    ) as running:
        yield running


@pytest.fixture
def client(served):
    with contextlib.closing(served.client()) as client:
        yield client


def png(client, caption: str | bytes, seed: int) -> bytes:
    """One image over REST."""
    raw = caption if isinstance(caption, bytes) else caption.encode()
    row = {"captions": {"b64": base64.b64encode(raw).decode()}, "seeds": seed}
    answer = client.predict(MODEL, rows(row))
    assert answer.status == 200, answer.body[:300]
    (found,) = answer.json()["predictions"]
    return base64.b64decode(found["b64"])


@pytest.mark.parametrize("case", GENERATOR, ids=lambda case: case.name)
def test_the_protocol(case, client):
    case.run(client, MODEL)


@pytest.mark.parametrize("bodies", SAME)
def test_all_forms_of_a_request_have_one_answer(bodies, client):
    answers = [client.predict(MODEL, body) for body in bodies]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1


def test_images_are_those_of_the_workdir(client, model):
    captions = ["a red bird with white wings", ""]
    expected = model.generate(captions, [3, 2**52])
    for caption, seed, image in zip(
        captions, [3, 2**52], expected, strict=True
    ):
        shown = Image.open(io.BytesIO(png(client, caption, seed)))
        np.testing.assert_allclose(np.asarray(shown).astype(int), image, atol=1)


def test_attention_over_rest(client):
    row = {"captions": "a red bird", "seeds": 1}
    body = rows(row, signature="generate_with_attention")
    (found,) = client.predict(MODEL, body).json()["predictions"]
    maps = np.array(found["attention_16"])
    count = found["lengths"]
    assert maps.shape == (len(found["tokens"]), 8, 8)
    np.testing.assert_allclose(maps.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(maps[count:], 0)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda s: s.encode("utf-8", "replace")),
    ),
    st.integers(-(2**63), 2**63 - 1),
)
def test_any_caption_and_seed_give_an_image(served, caption, seed):
    with contextlib.closing(served.client()) as client:
        image = Image.open(io.BytesIO(png(client, caption, seed)))
    assert image.size == (16, 16)


def test_same_caption_and_seed_same_bytes(served, client, generator):
    """In a row alone, in a batch, in merged requests, in another process."""
    captions = [f"a bird {'with red wings ' * n}" for n in range(5)]
    seeds = list(range(5))
    other = generator.run("generate_png", captions=captions, seeds=seeds)
    expected = list(other["image_bytes"])
    assert len(set(expected)) == 5
    pairs = list(zip(captions, seeds, strict=True))
    assert [png(client, *pair) for pair in pairs] == expected
    batch = [{"captions": c, "seeds": s} for c, s in pairs]
    answer = client.predict(MODEL, rows(*batch)).json()["predictions"]
    assert [base64.b64decode(value["b64"]) for value in answer] == expected

    def ask(pair):
        with contextlib.closing(served.client()) as own:
            return png(own, *pair)

    with concurrent.futures.ThreadPoolExecutor(5) as threads:
        for _ in range(3):
            assert list(threads.map(ask, pairs)) == expected
