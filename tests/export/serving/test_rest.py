"""What the REST interface serves beside the models."""

import types

import pytest
from werkzeug.test import Client

from export.serving.model_settings import ModelSettings
from export.serving.models import Models
from export.serving.monitoring import Metrics
from export.serving.rest import RestApp


@pytest.fixture
def make(tmp_path):
    """Makes a client of an application without models."""

    def make(page=True, cors=False, metrics_path=None, models=None):
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
            host="127.0.0.1",
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
