"""Signatures with several inputs require equal numbers of rows in them."""

import contextlib
import itertools

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

SIGNATURES = {
    "generate": ("captions", "seeds"),
    "generate_png": ("captions", "seeds"),
    "generate_with_attention": ("captions", "seeds"),
    "generate_from_noise": ("captions", "z", "eps"),
    "match": ("captions", "image_bytes"),
}
# Every signature with every way to give some inputs one row and others two.
ROWS = [
    (signature, dict(zip(names, counts, strict=True)))
    for signature, names in SIGNATURES.items()
    for counts in itertools.product((1, 2), repeat=len(names))
    if len(set(counts)) > 1
]
every_way = pytest.mark.parametrize(
    ("signature", "rows"),
    ROWS,
    ids=[f"{signature}-{list(rows.values())}" for signature, rows in ROWS],
)


def values(name: str, rows: int) -> np.ndarray:
    if name in ("captions", "image_bytes"):
        return np.array([b"a red bird"] * rows, object)
    sizes = {"z": [8], "eps": [6], "seeds": []}[name]
    dtype = np.int64 if name == "seeds" else np.float32
    return np.zeros([rows, *sizes], dtype)


@pytest.fixture(scope="module")
def functions(generator_dir, damsm_dir):
    """The signatures of both models, as `tf.saved_model.load` gives them."""
    models = [tf.saved_model.load(d / "1") for d in (generator_dir, damsm_dir)]
    # The models must stay alive as long as their functions.
    yield {k: f for m in models for k, f in m.signatures.items()}
    models.clear()


@every_way
def test_unequal_numbers_of_rows_fail_in_the_graph(functions, signature, rows):
    inputs = {k: tf.constant(values(k, n)) for k, n in rows.items()}
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        functions[signature](**inputs)
    *names, last = rows
    *counts, last_count = map(str, rows.values())
    assert (
        f"{', '.join(names)} and {last} must have equal numbers of rows; "
        f"received {', '.join(counts)} and {last_count}"
    ) in str(raised.value)


def test_every_signature_with_several_inputs_is_tested(functions):
    inputs = {k: f.structured_input_signature[1] for k, f in functions.items()}
    several = {k: set(x) for k, x in inputs.items() if len(x) > 1}
    assert several == {k: set(x) for k, x in SIGNATURES.items()}


def test_a_session_fails_with_the_same_message(generator):
    with pytest.raises(tf.errors.InvalidArgumentError, match="1 and 2"):
        generator.run("generate", captions=["a"], seeds=[1, 2])


def model_of(signature: str) -> str:
    return "attngan_damsm" if signature == "match" else "attngan"


@every_way
def test_the_development_server_answers_400(deployed_server, signature, rows):
    columns = {name: values(name, n).tolist() for name, n in rows.items()}
    columns["captions"] = ["a"] * rows["captions"]
    if "image_bytes" in columns:
        columns["image_bytes"] = [{"b64": "YQ=="}] * rows["image_bytes"]
    body = {"signature_name": signature, "inputs": columns}
    with contextlib.closing(deployed_server.client()) as client:
        answer = client.predict(model_of(signature), body)
    assert answer.status == 400
    assert "rows" in answer.json()["error"]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_the_development_server_answers_grpc(deployed_server, signature):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_of(signature)
    request.model_spec.signature_name = signature
    for name in SIGNATURES[signature]:
        array = values(name, 1 if name == "captions" else 2)
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    with grpc.insecure_channel(deployed_server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Predict(request, timeout=30)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
