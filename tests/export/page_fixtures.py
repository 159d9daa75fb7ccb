"""Fixtures: a server with the page, and a browser that opens it."""

import browser
import pytest
from deployed import deployed


@pytest.fixture(scope="session")
def page_server(generator_dir, toy_dir, tmp_path_factory):
    import attending_model

    folder = tmp_path_factory.mktemp("page")
    models = {
        "attngan": generator_dir,
        "attngan_damsm": toy_dir,
        "toy": toy_dir,
        "attending": attending_model.write(folder / "attending"),
    }
    flags = ("--page", "--rest_api_enable_cors_support")
    with deployed(folder, models, *flags) as running:
        yield running


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def look(driver):
    """Prepares the browser for a page that is served at a URL."""

    def fresh(url: str) -> browser.Page:
        page = browser.Page(driver, url)
        page.resize(1100)
        page.console()
        page.hosts()
        return page

    return fresh
