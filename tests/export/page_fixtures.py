"""Fixtures: a server with the page, and a browser that looks at it."""

import browser
import pytest
from deployed import deployed


@pytest.fixture(scope="session")
def page_server(generator_dir, tmp_path_factory):
    import attending_model
    import toy_model

    folder = tmp_path_factory.mktemp("page")
    toy_model.write(folder / "toy", 1)
    models = {
        "attngan": generator_dir,
        "attngan_damsm": folder / "toy",
        "toy": folder / "toy",
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
        page.prefer("light")
        page.console()
        page.hosts()
        return page

    return fresh
