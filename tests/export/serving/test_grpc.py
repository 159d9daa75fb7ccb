"""The gRPC interface, in this process and from outside."""

import contextlib
import socket
import time
import types

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

from export.serving.grpc_api import services
from export.serving.grpc_server import GrpcServer
from export.serving.limits import Limits
from export.serving.model_settings import ModelSettings
from export.serving.models import Models
from tests.export.traffic.grpc_strangers import (
    PREDICT,
    PREFACE,
    SETTINGS,
    call_headers,
    frame,
)

LIMITS = Limits(request_bytes=1000, connections=50, requests=8, seconds=30)


@pytest.fixture
def labelled(tmp_path):
    """Models with one whose versions 1 and 2 are stable and canary."""
    for version in (1, 2):
        (tmp_path / str(version)).mkdir()
    settings = ModelSettings(
        name="m",
        base_path=str(tmp_path),
        newest=2,
        labels={"stable": 1, "canary": 2},
    )
    models = Models([settings], lambda *arguments: object())
    models.start()
    return types.SimpleNamespace(models=models)


@pytest.fixture
def started(labelled):
    """A running server and its port."""
    server = GrpcServer(services(labelled), 2, LIMITS)
    port = server.add_port("127.0.0.1:0")
    server.start()
    yield server, port
    server.stop(0).result()


@pytest.fixture
def service(started):
    with grpc.insecure_channel(f"127.0.0.1:{started[1]}") as channel:
        yield model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.mark.parametrize(
    ("spec", "versions"),
    [
        ({}, [2, 1]),
        ({"version_label": "stable"}, [1]),
        ({"version_label": "canary"}, [2]),
        ({"version": {"value": 1}}, [1]),
    ],
)
def test_versions_and_labels(service, spec, versions):
    request = get_model_status_pb2.GetModelStatusRequest(
        model_spec={"name": "m", **spec}
    )
    states = service.GetModelStatus(request, timeout=10).model_version_status
    assert [state.version for state in states] == versions


def test_a_request_too_large_is_refused(service):
    request = get_model_status_pb2.GetModelStatusRequest(
        model_spec={"name": "m" * 2000}
    )
    with pytest.raises(grpc.RpcError) as raised:
        service.GetModelStatus(request, timeout=10)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_port_is_not_shared(started, labelled):
    other = GrpcServer(services(labelled), 1, LIMITS)
    with pytest.raises(RuntimeError, match="bind"):
        other.add_port(f"127.0.0.1:{started[1]}")


def http2(port, *frames):
    """A connection that speaks HTTP/2 and has sent frames."""
    link = socket.create_connection(("127.0.0.1", port), timeout=10)
    settings = frame(SETTINGS, 0, 0)
    link.sendall(PREFACE + settings + b"".join(frames))
    return contextlib.closing(link)


def test_streams_without_a_message_hold_no_thread(started, service):
    streams = [call_headers(2 * k + 1) for k in range(LIMITS.requests)]
    with http2(started[1], *streams) as link:
        assert link.recv(1)  # the server has read it
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        assert service.GetModelStatus(request, timeout=10)


def test_bytes_that_are_no_request_are_refused(started):
    with grpc.insecure_channel(f"127.0.0.1:{started[1]}") as channel:
        call = channel.unary_unary(PREDICT)
        code = grpc_error(call, b"\xff\xff")
        assert code is grpc.StatusCode.INVALID_ARGUMENT


# From outside


def _shape(size: int) -> dict:
    return {"dim": [{"size": size}]}


def predict_request(signature="", captions=("a",), **seeds):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = signature
    request.inputs["captions"].CopyFrom(
        tf.make_tensor_proto(list(captions), tf.string)
    )
    for name, values in seeds.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values, tf.int64))
    return request


@pytest.fixture
def channel(servers):
    with grpc.insecure_channel(servers("plain").grpc) as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def grpc_error(call, request, **arguments):
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=30, **arguments)
    return raised.value.code()


def test_grpc_answers_as_rest_does(stub, client):
    response = stub.Predict(predict_request(captions=["a", "b"]), timeout=30)
    values = tf.make_ndarray(response.outputs["image_bytes"])
    body = client.predict("toy", {"instances": ["a", "b"]}).json()
    assert [contract._b64(value) for value in values] == body["predictions"]
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"


def test_grpc_filters_outputs(stub):
    request = predict_request("generate", seeds=[3])
    response = stub.Predict(request, timeout=30)
    assert tf.make_ndarray(response.outputs["images"]).dtype == np.uint8
    request.output_filter.append("images")
    assert set(stub.Predict(request, timeout=30).outputs) == {"images"}
    request.output_filter[0] = "nope"
    code = grpc_error(stub.Predict, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "tensor",
    [
        # One value for 2^40 places, and for more rows than are given.
        {"dtype": 9, "tensor_shape": _shape(2**40), "int64_val": [1]},
        {"dtype": 9, "tensor_shape": _shape(2**26), "int64_val": [1]},
        {"dtype": 20, "tensor_shape": _shape(1)},  # a resource
        {"dtype": 21, "tensor_shape": _shape(1)},  # a variant
        {"dtype": 99, "tensor_shape": _shape(1)},
    ],
    ids=str,
)
def test_odd_tensors_are_refused(stub, tensor):
    request = predict_request("generate")
    request.inputs["seeds"].CopyFrom(tensor_pb2.TensorProto(**tensor))
    code = grpc_error(stub.Predict, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert stub.Predict(predict_request(), timeout=30).outputs


def _change(**spec):
    request = predict_request()
    for name, value in spec.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    return request


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_change(name="nope"), "NOT_FOUND"),
        (_change(name=""), "INVALID_ARGUMENT"),
        (_change(version=9), "NOT_FOUND"),
        (_change(version_label="x"), "INVALID_ARGUMENT"),
        (_change(signature_name="nope"), "FAILED_PRECONDITION"),
        (predict_request("generate_png"), "INVALID_ARGUMENT"),
        (predict_request(seeds=[1]), "INVALID_ARGUMENT"),
        (predict_request("generate", seeds=[1, 2]), "INVALID_ARGUMENT"),
        (predict_request(captions=[]), "INVALID_ARGUMENT"),
        (predict_request("picky", ["!"]), "INVALID_ARGUMENT"),
    ],
)
def test_grpc_errors(stub, request_, code):
    assert grpc_error(stub.Predict, request_).name == code


def test_grpc_refuses_tensors_that_are_none(stub):
    request = predict_request()
    tensor = request.inputs["captions"]
    tensor.tensor_shape.dim[0].size = 10**12
    bomb = grpc_error(stub.Predict, request)
    tensor.tensor_shape.dim[0].size = -3
    negative = grpc_error(stub.Predict, request)
    tensor.CopyFrom(tf.make_tensor_proto([1.0]))
    floats = grpc_error(stub.Predict, request)
    tensor.tensor_content = b"123"
    torn = grpc_error(stub.Predict, request)
    tensor.dtype = 0
    untyped = grpc_error(stub.Predict, request)
    errors = {bomb, negative, floats, torn, untyped}
    assert errors == {grpc.StatusCode.INVALID_ARGUMENT}
    assert stub.Predict(predict_request(), timeout=30).outputs


def test_grpc_respects_a_deadline(stub):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "slow"
    request.inputs["seconds"].CopyFrom(tf.make_tensor_proto([30.0]))
    start = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(request, timeout=0.5)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 5


def test_grpc_status_and_metadata(channel, stub):
    service = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    (entry,) = service.GetModelStatus(request, timeout=30).model_version_status
    state = get_model_status_pb2.ModelVersionStatus.State
    assert (entry.version, entry.state) == (1, state.AVAILABLE)
    request.model_spec.version.value = 9
    code = grpc_error(service.GetModelStatus, request)
    assert code is grpc.StatusCode.NOT_FOUND

    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    code = grpc_error(stub.GetModelMetadata, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request, timeout=30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(toy_model.SIGNATURES) <= set(signatures.signature_def)
