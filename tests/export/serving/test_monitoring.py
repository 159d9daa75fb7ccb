"""The page Prometheus reads."""

from export.serving.monitoring import Metrics


def lines(metrics):
    return metrics.page().splitlines()


def test_nothing_is_told_of_nothing():
    assert Metrics("pool").page() == ""


def test_counts_by_model_and_status():
    metrics = Metrics("pool")
    for status in ("OK", "OK", "NOT_FOUND"):
        metrics.request('m"\n\\', status, 0.001, "REST")
    name = ":tensorflow:serving:request_count"
    model = r'model_name="m\"\n\\"'
    assert lines(metrics)[:3] == [
        f"# TYPE {name} counter",
        f'{name}{{{model},status="OK"}} 2',
        f'{name}{{{model},status="NOT_FOUND"}} 1',
    ]


def test_a_histogram():
    metrics = Metrics("pool")
    for seconds in (10e-6, 11e-6, 0.5, 1e9):
        metrics.request("m", "OK", seconds, "GRPC")
    name = ":tensorflow:serving:request_latency"
    labels = 'model_name="m",API="predict",entrypoint="GRPC"'
    found = [line for line in lines(metrics) if line.startswith(name)]
    assert found[0] == f'{name}_bucket{{{labels},le="10"}} 1'
    assert found[1] == f'{name}_bucket{{{labels},le="18"}} 2'
    assert f'{name}_bucket{{{labels},le="708235"}} 3' in found
    assert found[-3] == f'{name}_bucket{{{labels},le="+Inf"}} 4'
    assert found[-2].startswith(f"{name}_sum{{{labels}}} 1e+15")
    assert found[-1] == f"{name}_count{{{labels}}} 4"
    assert len(found) == 33 + 3


def test_runtime_and_queuing():
    metrics = Metrics("pool")
    metrics.runtime("m", 0.001)
    metrics.queuing(0.0001)
    page = metrics.page()
    assert (
        ':tensorflow:serving:runtime_latency_count{model_name="m",'
        'API="Predict",runtime="TF1"} 1\n'
    ) in page
    assert (
        ":tensorflow:serving:batching_session:queuing_latency_count"
        '{thread_pool_name="pool"} 1\n'
    ) in page
