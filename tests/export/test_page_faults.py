"""The demo page with servers of other origins, and servers with faults."""

import json
import mimetypes
import threading
import time

import browser
import pytest
from fake_server import FakeServer
from server_process import ROOT

from tests.ports import free_ports

pytestmark = browser.NEEDED

CAPTION = "a small red bird with a white belly"
FOLDER = ROOT / "export" / "page"
SIGNATURES = {"generate_png": {}, "generate": {}}
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ"
    "/pLvAAAAAElFTkSuQmCC"
)


def image(_):
    return 200, {"predictions": [{"b64": DOT}]}


class PageServer(FakeServer):
    """Serves the page's files, and a model whose answers a test chooses.

    Attributes:
      signatures: those of the model.
      predict: from the row of a request to an answer, see `FakeServer`.
      rows: the rows that were received.
    """

    def __init__(self):
        super().__init__(self.respond)
        self.signatures = SIGNATURES
        self.predict = image
        self.rows = []

    def respond(self, request):
        if request.path.endswith(":predict"):
            (row,) = json.loads(request.body)["instances"]
            self.rows.append(row)
            return self.predict(row)
        if request.path.startswith("/v1/"):
            definitions = {"signature_def": {"signature_def": self.signatures}}
            return 200, {"metadata": definitions}
        name = request.path.partition("?")[0][1:] or "index.html"
        kind = mimetypes.guess_type(name)[0]
        return 200, (FOLDER / name).read_bytes(), {"Content-Type": kind}


@pytest.fixture
def api():
    with PageServer() as server:
        yield server


@pytest.fixture
def other(look, api):
    """The page at the server whose answers a test chooses."""
    return look(api.url)


def test_the_page_works_from_another_origin(other, deployed_server, generator):
    other.open(
        f"?server={deployed_server.url}", caption=CAPTION, seed=9, pictures=1
    )
    other.wait_for_pictures()
    answer = generator.run("generate_png", captions=[CAPTION], seeds=[9])
    assert other.picture() == answer["image_bytes"][0]
    other.wait_for_words()
    assert other.console() == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?server={api}", "{api} answers, but does not let pages of other"),
        ("?server={nobody}", "http://{nobody} cannot be reached"),
        ("?model=nobody", "has no model “nobody”"),
        ("?server=ftp://x", "must be like http://host:8501"),
        ("?server=javascript:alert(1)", "must be like http://host:8501"),
    ],
)
def test_a_wrong_address_is_reported(look, api, deployed_server, query, words):
    (port,) = free_ports(1)
    names = {"api": api.url, "nobody": f"127.0.0.1:{port}"}
    page = look(deployed_server.url)
    page.open(query.format(**names))
    page.wait_for_status(words.format(**names))
    page.ask(CAPTION)
    page.wait_for_status(words.format(**names))
    assert not page.part("results").is_displayed()


def test_a_model_of_another_kind_is_reported(other, api):
    api.signatures = {}
    other.open()
    other.wait_for_status("no signature generate_png")


def test_a_busy_server_is_asked_again(other, api):
    answers = [
        (503, {"error": "full"}),
        (429, {"error": "slow"}),
        image(None),
    ]
    api.predict = lambda _: answers.pop(0)
    other.open()
    other.ask(CAPTION)
    other.wait_for_status("busy; trying again in")
    other.wait_for_pictures()
    assert not answers
    assert not other.part("attention").is_displayed()  # the model has none


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((504, {"error": "late"}), "took too long"),
        ((400, {"error": "the rule"}), "answered 400: the rule"),
        ((500, b"<h1>oops</h1>"), "answered 500"),
        ((200, b"<h1>a page</h1>"), "not as TensorFlow Serving"),
        ((200, {"outputs": []}), "without a prediction"),
        ((200, {"predictions": [1]}), "answered without an image"),
    ],
)
def test_a_faulty_answer_is_reported(other, api, answer, words):
    api.predict = lambda _: answer
    other.open()
    other.ask(CAPTION)
    other.wait_for_status(words)
    # The next one may be good.
    api.predict = image
    other.part("draw").click()
    other.wait_for_pictures()
    assert other.part("picture").is_displayed()


def test_pictures_that_came_stay_when_one_fails(other, api):
    def predict(row):
        if row["seeds"] == 12:
            time.sleep(0.5)
            return 500, {"error": "broke"}
        return image(row)

    api.predict = predict
    other.open()
    other.ask(CAPTION, pictures=3, seed="10")
    other.wait_for_status("broke")
    tiles = other.parts("#thumbs button")
    assert [tile.is_enabled() for tile in tiles] == [True, True, False]
    assert not other.parts(".waiting")


def test_a_new_request_replaces_an_old_one(other, api):
    may_answer = threading.Event()

    def predict(row):
        if row["captions"] == "old":
            may_answer.wait(20)
        return image(row)

    api.predict = predict
    other.open()
    other.ask("old", pictures=4)
    other.wait_for_status("Generating")
    other.ask("new")
    other.wait_for_pictures()
    may_answer.set()
    time.sleep(0.2)
    assert other.part("title").text == "“new”"
    assert other.status == "Done."
    # Of the old ones, no more were begun than run at once.
    old = [row for row in api.rows if row["captions"] == "old"]
    assert len(old) <= 2
