"""The gRPC interface, from outside."""

import time

import contract
import grpc
import numpy as np
import pytest
import tensorflow as tf
import toy_model
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


def predict_request(signature="", captions=("a",), seeds=None, **spec):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.pop("name", "toy")
    request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    request.inputs["captions"].CopyFrom(
        tf.make_tensor_proto(list(captions), tf.string)
    )
    if seeds is not None:
        tensor = tf.make_tensor_proto(seeds, tf.int64)
        request.inputs["seeds"].CopyFrom(tensor)
    return request


@pytest.fixture
def channel(plain):
    with grpc.insecure_channel(plain.grpc) as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def code_of(call, request, timeout=30):
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=timeout)
    return raised.value.code().name


def test_grpc_answers_as_rest_does(stub, client):
    response = stub.Predict(predict_request(captions=["a", "b"]), timeout=30)
    values = tf.make_ndarray(response.outputs["image_bytes"])
    body = client.predict("toy", {"instances": ["a", "b"]}).json()
    assert [contract.b64(value) for value in values] == body["predictions"]
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"


def test_outputs_are_filtered(stub):
    request = predict_request("numbers")
    del request.inputs["captions"]
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0, 4.0]]))
    assert set(stub.Predict(request, timeout=30).outputs) == {
        "inverse",
        "twice",
    }
    request.output_filter.append("twice")
    (output,) = stub.Predict(request, timeout=30).outputs.items()
    assert output[0] == "twice"
    np.testing.assert_array_equal(tf.make_ndarray(output[1]), [[2, 4, 8]])
    request.output_filter[0] = "nope"
    assert code_of(stub.Predict, request) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (predict_request(name="nope"), "NOT_FOUND"),
        (predict_request(name=""), "INVALID_ARGUMENT"),
        (predict_request(version=9), "NOT_FOUND"),
        (predict_request(label="x"), "INVALID_ARGUMENT"),
        (predict_request("nope"), "FAILED_PRECONDITION"),
        (predict_request("generate_png"), "INVALID_ARGUMENT"),
        (predict_request(seeds=[1]), "INVALID_ARGUMENT"),
        (predict_request("generate", seeds=[1, 2]), "INVALID_ARGUMENT"),
        (predict_request("generate", seeds=1), "INVALID_ARGUMENT"),
        (predict_request(captions=[]), "INVALID_ARGUMENT"),
        (predict_request(captions=["a"] * 65), "INVALID_ARGUMENT"),
        (predict_request("picky", ["!"]), "INVALID_ARGUMENT"),
        (predict_request(captions=["a" * 2_000_000]), "RESOURCE_EXHAUSTED"),
    ],
)
def test_errors_have_the_protocols_codes(stub, request_, code):
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
        _sized(1, dtype=0),
        _sized(1, dtype=20),  # a resource
        _sized(1, dtype=99),
    ],
    ids=str,
)
def test_malformed_tensors_are_refused(stub, tensor):
    request = predict_request("generate")
    request.inputs["seeds"].CopyFrom(tensor_pb2.TensorProto(**tensor))
    assert code_of(stub.Predict, request) == "INVALID_ARGUMENT"
    assert stub.Predict(predict_request(), timeout=30).outputs


def test_deadline_ends_a_call(stub):
    request = predict_request("slow")
    del request.inputs["captions"]
    request.inputs["seconds"].CopyFrom(tf.make_tensor_proto([30.0]))
    start = time.monotonic()
    code = code_of(stub.Predict, request, timeout=0.5)
    assert code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - start < 5


def test_other_methods_are_refused(channel):
    service = "/tensorflow.serving.PredictionService"
    classify = channel.unary_unary(f"{service}/Classify")
    assert code_of(classify, b"") == "INVALID_ARGUMENT"
    unknown = channel.unary_unary(f"{service}/Nothing")
    assert code_of(unknown, b"") == "UNIMPLEMENTED"


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
