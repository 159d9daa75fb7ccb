"""The gRPC interface, from outside."""

import functools
import time

import contract
import grpc
import numpy as np
import pytest
import tensorflow as tf
import toy_model
from server_process import predict_request
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
)

request_of = functools.partial(predict_request, "toy")
A = {"captions": ["a"]}


@pytest.fixture
def stub(plain):
    with plain.grpc_stub() as stub:
        yield stub


@pytest.fixture
def channel(plain):
    with grpc.insecure_channel(plain.grpc) as channel:
        yield channel


def code_of(call, request, timeout=30):
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=timeout)
    return raised.value.code().name


def test_grpc_answers_as_rest_does(stub, client):
    request = request_of(captions=["a", "b"])
    response = stub.Predict(request, timeout=30)
    values = tf.make_ndarray(response.outputs["image_bytes"])
    body = client.predict("toy", {"instances": ["a", "b"]}).json()
    assert [contract.b64(value) for value in values] == body["predictions"]
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"


def test_outputs_are_filtered(stub):
    request = request_of("numbers", x=[[1.0, 2.0, 4.0]])
    outputs = stub.Predict(request, timeout=30).outputs
    assert set(outputs) == {"inverse", "twice"}
    request.output_filter.append("twice")
    (output,) = stub.Predict(request, timeout=30).outputs.items()
    assert output[0] == "twice"
    np.testing.assert_array_equal(tf.make_ndarray(output[1]), [[2, 4, 8]])
    request.output_filter[0] = "nope"
    assert code_of(stub.Predict, request) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"name": "nope"}, "NOT_FOUND"),
        ({"name": ""}, "INVALID_ARGUMENT"),
        ({"version": {"value": 9}}, "NOT_FOUND"),
        ({"version_label": "x"}, "INVALID_ARGUMENT"),
        ({"signature_name": "nope"}, "FAILED_PRECONDITION"),
    ],
)
def test_what_is_not_served_has_the_protocols_code(stub, spec, code):
    request = request_of(**A)
    for name, value in spec.items():
        request.model_spec.ClearField(name)
        request.model_spec.MergeFrom(type(request.model_spec)(**{name: value}))
    assert code_of(stub.Predict, request) == code


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (request_of("generate_png", **A), "INVALID_ARGUMENT"),
        (request_of(**A, seeds=[1]), "INVALID_ARGUMENT"),
        (request_of("generate", **A, seeds=[1, 2]), "INVALID_ARGUMENT"),
        (request_of("generate", **A, seeds=1), "INVALID_ARGUMENT"),
        (request_of(captions=[]), "INVALID_ARGUMENT"),
        (request_of(captions=["a"] * 65), "INVALID_ARGUMENT"),
        (request_of("picky", captions=["!"]), "INVALID_ARGUMENT"),
        (request_of(captions=["a" * 2_000_000]), "RESOURCE_EXHAUSTED"),
    ],
)
def test_invalid_inputs_have_the_protocols_code(stub, request_, code):
    assert code_of(stub.Predict, request_) == code


def _sized(size: int, **fields) -> dict:
    return {"tensor_shape": {"dim": [{"size": size}]}, **fields}


@pytest.mark.parametrize(
    "tensor",
    [
        # One value for 2^40 positions, and for more rows than are given.
        _sized(2**40, dtype=9, int64_val=[1]),
        _sized(2**26, dtype=9, int64_val=[1]),
        _sized(-3, dtype=9, int64_val=[1]),
        {"dtype": 9, "tensor_shape": {"unknown_rank": True}},
        _sized(1, dtype=1, float_val=[1.0]),
        _sized(1, dtype=9, tensor_content=b"123"),
        _sized(1, dtype=20),  # a resource
        _sized(1, dtype=99),
    ],
    ids=str,
)
def test_malformed_tensors_are_refused(stub, tensor):
    request = request_of("generate", **A)
    request.inputs["seeds"].CopyFrom(tensor_pb2.TensorProto(**tensor))
    assert code_of(stub.Predict, request) == "INVALID_ARGUMENT"
    assert stub.Predict(request_of(**A), timeout=30).outputs


def test_deadline_ends_a_call(stub):
    request = request_of("slow", seconds=[30.0])
    start = time.monotonic()
    code = code_of(stub.Predict, request, timeout=0.5)
    assert code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - start < 5


def test_classification_is_refused(channel):
    service = "/tensorflow.serving.PredictionService"
    classify = channel.unary_unary(f"{service}/Classify")
    assert code_of(classify, b"") == "INVALID_ARGUMENT"


def test_status_and_metadata(channel, stub):
    service = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    assert code_of(service.GetModelStatus, request) == "NOT_FOUND"
    request.model_spec.name = "toy"
    (entry,) = service.GetModelStatus(request, timeout=30).model_version_status
    state = get_model_status_pb2.ModelVersionStatus.State
    assert (entry.version, entry.state) == (1, state.AVAILABLE)
    request.model_spec.version.value = 9
    assert code_of(service.GetModelStatus, request) == "NOT_FOUND"

    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    assert code_of(stub.GetModelMetadata, request) == "INVALID_ARGUMENT"
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request, timeout=30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(toy_model.SIGNATURES) <= set(signatures.signature_def)
