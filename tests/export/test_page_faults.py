"""The demo page with servers of other origins, and servers with faults."""

import http.server
import json
import socket
import threading
import time

import browser
import pytest
from server_process import ROOT

pytest_plugins = ["page_fixtures"]

pytestmark = browser.NEEDED

CAPTION = "a small red bird with a white belly"
FOLDER = ROOT / "export" / "page"


class Api(http.server.SimpleHTTPRequestHandler):
    """The page's files, and a model that does what a test says."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=str(FOLDER))

    def do_GET(self):
        if not self.path.startswith("/v1/"):
            return super().do_GET()
        outputs = {"outputs": {}}
        signatures = {"generate_png": outputs, "generate": outputs}
        metadata = {"signature_def": {"signature_def": signatures}}
        return self.answer(*self.server.metadata(metadata))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        (row,) = json.loads(body)["instances"]
        return self.answer(*self.server.predict(row))

    def answer(self, status: int, value, **headers: str):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, header in headers.items():
            self.send_header(name.replace("_", "-"), header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class ApiServer(http.server.ThreadingHTTPServer):
    """Starts with answers that are right."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Api)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.rows = []
        self.metadata = lambda signatures: (200, {"metadata": signatures})
        self.predict = self.right
        threading.Thread(target=self.serve_forever, args=[0.02]).start()

    def right(self, row):
        self.rows.append(row)
        return 200, {"predictions": [{"b64": DOT}]}

    def handle_error(self, *_):
        pass  # a browser that has given up


DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ"
    "/pLvAAAAAElFTkSuQmCC"
)


@pytest.fixture
def api():
    server = ApiServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def other(look, api):
    """The page at the server that does what a test says."""
    return look(api.url)


def test_the_page_works_from_another_origin(other, page_server, generator):
    other.open(
        f"?server={page_server.url}", caption=CAPTION, seed=9, pictures=1
    )
    other.wait_for_pictures()
    answer = generator.run("generate_png", captions=[CAPTION], seeds=[9])
    assert other.picture() == answer["image_bytes"][0]
    other.wait_for_words()
    assert other.console() == []


def test_the_page_works_as_a_file(look, page_server):
    page = look(FOLDER.as_uri())
    page.open(f"index.html?server={page_server.url}", caption="one", pictures=1)
    page.wait_for_pictures()
    assert page.console() == []


def test_a_server_that_lets_no_other_page_in_is_said(look, api, page_server):
    page = look(page_server.url)
    page.open(f"?server={api.url}")
    page.wait_for_status("--rest_api_enable_cors_support")
    assert api.url in page.status


def test_a_server_that_is_down_is_said(other):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    other.open(f"?server=127.0.0.1:{port}")
    other.wait_for_status(f"http://127.0.0.1:{port} cannot be reached")
    other.ask(CAPTION)
    other.wait_for_status("cannot be reached")
    assert not other.part("results").is_displayed()


def test_a_model_that_is_missing_is_said(look, page_server):
    page = look(page_server.url)
    page.open("?model=nobody")
    page.wait_for_status("has no model “nobody”")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?server=ftp://x", "must be like http://host:8501"),
        ("?server=http://", "must be like http://host:8501"),
        ("?server=javascript:alert(1)", "must be like http://host:8501"),
    ],
)
def test_a_wrong_server_is_said(other, query, words):
    other.open(query)
    other.wait_for_status(words)


def test_a_model_of_another_kind_is_said(other, api):
    api.metadata = lambda _: (200, {"metadata": {"signature_def": {}}})
    other.open()
    other.wait_for_status("no signature generate_png")


def test_a_busy_server_is_asked_again(other, api):
    refusals = [(503, {"error": "full"}, "1"), (429, {"error": "slow"}, "0")]

    def predict(row):
        if refusals:
            status, error, after = refusals.pop(0)
            api.rows.append(after)
            return status, error
        return api.right(row)

    api.predict = predict
    other.open()
    other.ask(CAPTION)
    other.wait_for_status("busy; trying again in")
    other.wait_for_pictures()
    assert len(api.rows) == 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((504, {"error": "late"}), "took too long"),
        ((400, {"error": "the rule"}), "answered 400: the rule"),
        ((500, b"<h1>oops</h1>"), "answered 500"),
        ((200, b"<h1>a page</h1>"), "not as TensorFlow Serving"),
        ((200, {"outputs": []}), "without a prediction"),
        ((200, {"predictions": [1]}), "answered no picture"),
    ],
)
def test_a_strange_answer_is_said(other, api, answer, words):
    api.predict = lambda row: answer
    other.open()
    other.ask(CAPTION)
    other.wait_for_status(words)
    # The next one may be good.
    api.predict = api.right
    other.part("draw").click()
    other.wait_for_pictures()
    assert other.part("picture").is_displayed()


def test_pictures_that_came_stay_when_one_fails(other, api):
    def predict(row):
        if row["seeds"] == 12:
            time.sleep(0.5)
            return 500, {"error": "broke"}
        return api.right(row)

    api.predict = predict
    other.open()
    other.ask(CAPTION, pictures=3, seed="10")
    other.wait_for_status("broke")
    tiles = other.parts("#thumbs button")
    assert [tile.is_enabled() for tile in tiles] == [True, True, False]
    assert not other.parts(".waiting")


def test_a_new_request_takes_the_place_of_an_old_one(other, api):
    held = threading.Event()

    def predict(row):
        if row["captions"] == "old":
            held.wait(20)
        return api.right(row)

    api.predict = predict
    other.open()
    other.ask("old", pictures=4)
    other.wait_for_status("Drawing")
    other.ask("new")
    other.wait_for_pictures()
    held.set()
    time.sleep(0.2)
    assert other.part("title").text == "“new”"
    assert other.status == "Done."
    # Of the old ones, no more were begun than run at once.
    old = [row for row in api.rows if row["captions"] == "old"]
    assert len(old) <= 2
