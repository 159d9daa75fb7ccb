"""The demo page in headless Chromium."""

import base64
import contextlib
import io
import pathlib
import shutil
import time
import urllib.parse
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
NEEDED = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs Debian's packages chromium and chromium-driver",
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--force-prefers-reduced-motion",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 30  # for anything to happen


@contextlib.contextmanager
def chromium(profile: pathlib.Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page in a tab.

    Args:
      driver: the browser.
      url: where the page is served.
    """

    def __init__(self, driver: webdriver.Chrome, url: str):
        self.driver = driver
        self.url = url

    def open(self, query: str = "", **link) -> None:
        """Loads the page anew; `link` is what a shared link holds."""
        self.driver.get("about:blank")
        fragment = urllib.parse.urlencode(link)
        self.driver.get(f"{self.url}/{query}#{fragment}".rstrip("#"))

    def part(self, name: str):
        return self.driver.find_element(By.ID, name)

    def parts(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, what: str) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, f"no {what}: {self.status}"
            time.sleep(0.02)

    @property
    def status(self) -> str:
        return self.part("status").text

    def wait_for_status(self, words: str) -> None:
        self.wait(lambda: words in self.status, words)

    def ask(self, caption: str, pictures: int = 1, seed: str = "") -> None:
        """Fills the form and submits it."""
        for name, text in (("caption", caption), ("seed", seed)):
            self.part(name).clear()
            self.part(name).send_keys(text)
        self.run(
            "document.getElementById('pictures').value = arguments[0]",
            str(pictures),
        )
        self.part("draw").click()

    def wait_for_pictures(self, count: int = 1) -> None:
        done = "Done." if count == 1 else f"{count} images."
        self.wait_for_status(done)

    def wait_for_words(self) -> list:
        self.wait(lambda: self.parts("button.word"), "words")
        return self.parts("button.word")

    def picture(self) -> bytes:
        """The PNG image that is shown large."""
        source = self.part("picture").get_attribute("src")
        assert source.startswith("data:image/png;base64,")
        return base64.b64decode(source.split(",")[1])

    def heat(self) -> np.ndarray:
        """The heat map's pixels, uint8 [H, W, 4]."""
        source = self.run(
            "return document.getElementById('heat').toDataURL('image/png')"
        )
        png = base64.b64decode(source.split(",")[1])
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))

    def point_at(self, element) -> None:
        ActionChains(self.driver, duration=0).move_to_element(element).perform()

    def press(self, *keys: str) -> None:
        """Types keys into the element that has the focus."""
        for key in keys:
            ActionChains(self.driver, duration=0).send_keys(key).perform()

    def focused(self):
        return self.driver.switch_to.active_element

    def tab_to(self, name: str) -> None:
        """Tab until the element of this id or class has the focus."""
        for _ in range(40):
            self.press(Keys.TAB)
            here = self.focused()
            classes = here.get_attribute("class").split()
            if name == here.get_attribute("id") or name in classes:
                return
        raise AssertionError(f"{name} cannot be reached by keyboard")

    def resize(self, width: int, height: int = 800) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": width < 600,
            },
        )

    def console(self) -> list[str]:
        """Warnings and errors in the console since the last call."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
