"""The exported generator behind a server: strings in, PNG out."""

import base64
import concurrent.futures
import contextlib
import io
import shutil

import numpy as np
import pytest
from contract import GENERATOR, SAME, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from server_process import development_server, real_server

import attngan_tf

MODEL = "attngan"
BATCHING = (
    "max_batch_size { value: 8 } batch_timeout_micros { value: 200000 } "
    "max_enqueued_batches { value: 16 } num_batch_threads { value: 1 } "
    "allowed_batch_sizes: 8"
)


@pytest.fixture(
    scope="module", params=["development server", "tensorflow_model_server"]
)
def served(request, generator_dir, tmp_path_factory):
    """A server of the tiny run's generator."""
    log = tmp_path_factory.mktemp("server") / "log"
    if request.param == "development server":
        server = development_server(generator_dir, log, model=MODEL)
    else:
        binary = shutil.which(request.param)
        if not binary:
            pytest.skip("there is no tensorflow_model_server on PATH")
        server = real_server(binary, generator_dir, log, model=MODEL)
    with server as running:
        yield running


@pytest.fixture
def client(served):
    with contextlib.closing(served.client()) as client:
        yield client


def png(client, caption: str | bytes, seed: int) -> bytes:
    """One picture over REST."""
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
def test_forms_of_one_request(bodies, client):
    answers = [client.predict(MODEL, body) for body in bodies]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1


def test_pictures_are_those_of_the_workdir(client, tiny_workdir):
    captions = ["a red bird with white wings", ""]
    expected = attngan_tf.load(str(tiny_workdir)).generate(captions, [3, 2**52])
    for caption, seed, picture in zip(
        captions, [3, 2**52], expected, strict=True
    ):
        shown = Image.open(io.BytesIO(png(client, caption, seed)))
        np.testing.assert_allclose(
            np.asarray(shown).astype(int), picture, atol=1
        )


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
def test_any_caption_and_seed_give_a_picture(served, caption, seed):
    with contextlib.closing(served.client()) as client:
        picture = Image.open(io.BytesIO(png(client, caption, seed)))
    assert picture.size == (16, 16)


def test_same_caption_and_seed_same_bytes(
    served, client, generator_dir, tmp_path
):
    wanted = [(f"a bird {'with red wings ' * n}", n) for n in range(5)]
    alone = [png(client, *pair) for pair in wanted]
    assert len(set(alone)) == 5
    batch = [{"captions": c, "seeds": s} for c, s in wanted]
    answer = client.predict(MODEL, rows(*batch)).json()["predictions"]
    assert [base64.b64decode(value["b64"]) for value in answer] == alone
    # Another process, and merged with the requests of others.
    parameters = tmp_path / "batching.pbtxt"
    parameters.write_text(BATCHING)
    restarted = development_server(
        generator_dir,
        tmp_path / "log",
        "--enable_batching",
        f"--batching_parameters_file={parameters}",
        model=MODEL,
    )
    with (
        restarted as other,
        concurrent.futures.ThreadPoolExecutor(5) as threads,
    ):

        def ask(pair):
            with contextlib.closing(other.client()) as own:
                return png(own, *pair)

        assert list(threads.map(ask, wanted)) == alone
