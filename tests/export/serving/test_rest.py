"""What the REST interface serves beside the models."""

import contextlib
import time
import types

import numpy as np
import pytest
from werkzeug.test import Client

from export.serving.model_settings import ModelSettings
from export.serving.models import Models
from export.serving.monitoring import Metrics
from export.serving.rest import ARRIVED, RestApp
from export.serving.servable import Signature, TensorSpec


@pytest.fixture
def make(tmp_path):
    """Makes a client of an application without models."""

    def make(
        page=True, cors=False, metrics_path=None, models=None, host="127.0.0.1"
    ):
        folder = tmp_path / "page"
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("<p>hello")
        (folder / "page.js").write_text("1")
        (tmp_path / "secret.txt").write_text("secret")
        settings = types.SimpleNamespace(
            page=str(folder) if page else None,
            cors=cors,
            metrics_path=metrics_path,
            timeout_seconds=1,
            host=host,
        )
        predictor = types.SimpleNamespace(models=models)
        return Client(RestApp(settings, predictor, Metrics("pool")))

    return make


def test_the_page_is_served_where_asked(make):
    client = make()
    index = client.get("/")
    assert index.status_code == 200
    assert index.mimetype == "text/html"
    assert index.text == "<p>hello"
    assert client.get("/page.js").mimetype == "text/javascript"
    assert client.head("/page.js").data == b""
    assert client.post("/page.js").status_code == 404
    assert client.get("/nope").status_code == 404
    assert make(page=False).get("/").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/x/../../secret.txt",
        "//secret.txt",
        "/" + "x" * 5000,
        "/page.js/../../secret.txt",
        "/\0",
        "/..",
    ],
)
def test_no_path_leads_out_of_the_page(make, path):
    # As it comes: a client would tidy the path.
    answer = make().get("/", environ_overrides={"PATH_INFO": path})
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_a_link_does_not_lead_out_of_the_page(make, tmp_path):
    client = make()
    (tmp_path / "page" / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert client.get("/link.txt").status_code == 404


LOCAL = [
    "localhost",
    "LOCALHOST:8501",
    "127.0.0.1:8501",
    "127.8.0.1",
    "[::1]:8501",
]
FOREIGN = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example:8501",
    "localhost, evil.example",
    "10.0.0.1",
    "evil.example:8501",
    "@evil.example",
    "localhost@evil.example",
    "[",
    "[::1",
    "a]",
]


def status(client, host, **headers):
    return client.get("/", headers={"Host": host, **headers}).status_code


@pytest.mark.parametrize("host", LOCAL)
def test_a_local_server_has_local_names(make, host):
    assert status(make(), host) == 200
    assert status(make(), host, Origin=f"http://{host}") == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_local_server_has_no_other_names(make, host):
    assert status(make(), host) == 403
    assert status(make(), host, Origin=f"http://{host}") == 403
    assert status(make(cors=True), host) == 200
    assert status(make(host="0.0.0.0"), host) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost:1",
        "http://localhost.evil.example:8501",
        "http://evil.example/localhost:8501",
        "http://[",
        "localhost:8501",
    ],
)
def test_pages_of_other_hosts_get_nothing(make, origin):
    client = make()
    for verb in (client.get, client.post, client.options):
        answer = verb("/", headers={"Host": "localhost:8501", "Origin": origin})
        assert answer.status_code == 403
        assert list(answer.json) == ["error"]
        assert "Access-Control-Allow-Origin" not in answer.headers
        # Nor does <img> or <script>, which send no Origin.
        policy = answer.headers["Cross-Origin-Resource-Policy"]
        assert policy == "same-origin"
    assert status(make(cors=True), "localhost:8501", Origin=origin) == 200


def test_the_metrics_are_at_their_path_only(make):
    client = make(metrics_path="/m")
    assert client.get("/m").mimetype == "text/plain"
    assert client.get("/monitoring/prometheus/metrics").status_code == 404
    assert make().get("/m").status_code == 404


def test_a_fault_of_the_code_is_a_500_and_one_line(make, capsys):
    client = make()
    del client.application._predictor.models
    answer = client.get("/v1/models/m")
    assert answer.status_code == 500
    assert answer.json == {"error": "internal error"}
    assert "AttributeError" in capsys.readouterr().err


@pytest.fixture
def labelled(tmp_path):
    """A model whose versions 1 and 2 are stable and canary."""
    for version in (1, 2):
        (tmp_path / "base" / str(version)).mkdir(parents=True)
    settings = ModelSettings(
        name="m",
        base_path=str(tmp_path / "base"),
        newest=2,
        labels={"stable": 1, "canary": 2},
    )
    models = Models([settings], lambda *arguments: object())
    models.start()
    return models


@pytest.mark.parametrize(
    ("choice", "versions"),
    [
        ("", ["2", "1"]),
        ("/labels/stable", ["1"]),
        ("/labels/canary", ["2"]),
        ("/versions/0001", ["1"]),
    ],
)
def test_versions_and_labels_in_paths(make, labelled, choice, versions):
    answer = make(models=labelled).get(f"/v1/models/m{choice}").json
    states = answer["model_version_status"]
    assert [state["version"] for state in states] == versions


def test_the_wait_for_a_thread_is_part_of_the_time(make):
    """A request that arrived 0.3 s ago has 0.7 of its second left."""
    found = []

    class Predictor:
        def run(self, servable, signature, feeds, outputs, deadline):
            found.append(deadline)
            return {"y": np.zeros(1, np.float32)}

    spec = TensorSpec(None, np.dtype(object), (None,))
    signature = Signature("s", "", {"x": spec}, {"y": spec}, {})
    servable = types.SimpleNamespace(signature=lambda name, missing: signature)
    model = types.SimpleNamespace(
        use=lambda version, label: contextlib.nullcontext(servable)
    )
    client = make(models=types.SimpleNamespace(find=lambda name: model))
    predictor = Predictor()
    predictor.models = client.application._predictor.models
    predictor.counted = lambda model, entrypoint: contextlib.nullcontext()
    client.application._predictor = predictor
    arrived = time.monotonic() - 0.3
    answer = client.post(
        "/v1/models/m:predict",
        json={"instances": ["a"]},
        environ_overrides={ARRIVED: arrived},
    )
    assert answer.json == {"predictions": [0.0]}
    assert found == [arrived + 1]
