"""The demo page in headless Chromium: what it shows."""

import json
import urllib.parse

import browser
import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

pytestmark = browser.NEEDED

CAPTION = "a small red bird with a white belly"
# The model whose attention is known.
KNOWN = "?model=toy"


@pytest.fixture
def page(look, deployed_server):
    """The page at the server; the console must stay silent."""
    page = look(deployed_server.url)
    yield page
    assert page.console() == []


def test_a_caption_becomes_its_own_picture(page, generator):
    page.open()
    page.ask(CAPTION)
    page.wait_for_pictures()
    answer = generator.run("generate_png", captions=[CAPTION], seeds=[0])
    assert page.picture() == answer["image_bytes"][0]
    assert CAPTION in page.part("picture").get_attribute("alt")
    assert "version 1 · 16 \u00d7 16" in page.part("model").text


def test_several_pictures_have_seeds_in_a_row(page, generator):
    page.open()
    first = 2**53 - 8
    page.ask(CAPTION, pictures=3, seed=str(first))
    page.wait_for_pictures(3)
    tiles = page.parts("#thumbs button")
    assert len(tiles) == 3
    for seed, tile in enumerate(tiles, start=first):
        tile.click()
        answer = generator.run("generate_png", captions=[CAPTION], seeds=[seed])
        assert page.picture() == answer["image_bytes"][0]
        assert tile.get_attribute("aria-pressed") == "true"
        name = page.part("download").get_attribute("download")
        assert name == f"a_small_red_bird_with_a_white_belly_{seed}.png"
        href = page.part("download").get_attribute("href")
        assert href == page.part("picture").get_attribute("src")


def test_an_example_draws_at_once(page):
    page.open(KNOWN)
    example = page.parts("#examples button")[1]
    example.click()
    page.wait_for_pictures(4)
    assert page.part("caption").get_property("value") == example.text


def test_a_new_seed_gives_other_pictures(page):
    page.open(KNOWN)
    page.ask(CAPTION, seed="1")
    page.wait_for_pictures()
    before = page.picture()
    page.part("new-seed").click()
    page.wait(lambda: page.picture() != before, "another picture")
    assert page.part("seed").get_property("value") != "1"


@pytest.mark.parametrize(
    ("part", "caption", "seed"),
    [
        ("caption", "", ""),
        ("seed", CAPTION, "-1"),
        ("seed", CAPTION, "1.5"),
        ("seed", CAPTION, "9007199254740985"),  # the eighth would have 2^53
    ],
)
def test_an_invalid_form_requests_nothing(page, part, caption, seed):
    page.open(KNOWN)
    page.ask(caption, seed=seed)
    assert page.focused() == page.part(part)
    assert page.status == ""
    assert not page.part("results").is_displayed()


@pytest.mark.parametrize(
    "caption",
    [
        "<img src=x onerror=alert(1)><b>bird",
        "鳥 \ud83d red",
    ],
)
def test_a_caption_is_text_and_nothing_else(page, caption):
    page.open(KNOWN)
    page.run(
        "document.getElementById('caption').value = JSON.parse(arguments[0]);"
        "document.getElementById('pictures').value = 1;"
        "document.getElementById('form').requestSubmit()",
        json.dumps(caption),
    )
    page.wait_for_pictures()
    words = page.wait_for_words()
    assert not page.parts("#results b, #words img")
    shown = caption.replace("\ud83d", "\ufffd")
    assert page.part("title").text == f"“{shown}”"
    assert [word.text for word in words] == shown.split()


# Attention


def quadrant_of(heat: np.ndarray) -> int:
    """Where the heat map is hottest, which is where it is most yellow."""
    red = heat[..., 0].astype(int)
    half = len(red) // 2
    sums = [
        red[row : row + half, column : column + half].sum()
        for row in (0, half)
        for column in (0, half)
    ]
    return int(np.argmax(sums))


def test_pointing_at_a_word_shows_where_it_was_drawn(page):
    page.open(KNOWN, caption="one two three four", pictures=1)
    words = page.wait_for_words()
    assert [word.text for word in words] == ["one", "two", "three", "four"]
    assert not page.heat().any()
    for k, word in enumerate(words):
        page.point_at(word)
        heat = page.heat()
        # The last stage's maps are a quadrant further.
        assert quadrant_of(heat) == (k + 1) % 4
        assert heat[..., 3].min() > 50  # the rest is dimmed
        assert "80 %" in page.part("explanation").text
        assert "25 %" in page.part("explanation").text
    assert page.part("heat").value_of_css_property("opacity") != "0"
    page.point_at(page.part("title"))
    assert not page.heat().any()


def test_ignored_words_are_named(page):
    page.open(
        KNOWN, caption="one two three four five six Seven, eight", pictures=1
    )
    page.wait_for_words()
    text = page.part("explanation").text
    assert text.startswith("The model does not use: seven, eight. ")
    assert "Point at a word" in text


def test_a_stage_can_be_chosen(page):
    page.open(KNOWN, caption="one two three", pictures=1)
    words = page.wait_for_words()
    words[0].click()
    assert quadrant_of(page.heat()) == 1
    first, last = page.parts("#stages input")
    assert last.is_selected()
    first.click()
    assert quadrant_of(page.heat()) == 0
    labels = [label.text for label in page.parts("#stages label")]
    assert labels == ["16 \u00d7 16", "32 \u00d7 32"]


# Links


def test_a_link_draws_the_same_again(page):
    page.open(KNOWN)
    page.ask(CAPTION, pictures=2, seed="17")
    page.wait_for_pictures(2)
    address, picture = page.driver.current_url, page.picture()
    assert "seed=17" in address
    page.driver.get("about:blank")
    page.driver.get(address)
    page.wait_for_pictures(2)
    assert page.picture() == picture
    assert page.part("caption").get_property("value") == CAPTION
    assert page.part("seed").get_property("value") == "17"


def test_back_draws_what_was_there(page):
    page.open(KNOWN)
    page.ask("one", seed="1")
    page.wait_for_pictures()
    first = page.picture()
    page.ask("two", seed="2")
    page.wait(lambda: page.picture() != first, "the second picture")
    page.driver.back()
    page.wait(lambda: page.picture() == first, "the first picture")
    assert page.part("caption").get_property("value") == "one"


def test_the_copied_link_is_that_of_the_picture(page):
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    page.open(KNOWN)
    page.ask(CAPTION, pictures=2, seed="5")
    page.wait_for_pictures(2)
    page.parts("#thumbs button")[1].click()
    page.part("copy").click()
    page.wait_for_status("link")
    link = page.driver.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0])"
    )
    assert link.startswith(page.url)
    fragment = urllib.parse.urlsplit(link).fragment
    values = dict(urllib.parse.parse_qsl(fragment))
    assert values == {"caption": CAPTION, "seed": "6", "pictures": "1"}


# For everybody


def test_the_keyboard_is_enough(page):
    page.open(KNOWN)
    page.tab_to("caption")
    page.press(*"one two three", Keys.ENTER)
    page.wait_for_pictures(4)
    page.wait_for_words()
    page.tab_to("word")
    assert page.focused().text == "one"
    assert quadrant_of(page.heat()) == 1
    page.press(Keys.ARROW_RIGHT)
    assert page.focused().text == "two"
    assert quadrant_of(page.heat()) == 2
    page.press(Keys.END)
    assert page.focused().text == "three"
    page.press(Keys.ENTER)
    assert page.focused().get_attribute("aria-pressed") == "true"
    page.press(Keys.ESCAPE)
    assert page.focused().get_attribute("aria-pressed") == "false"
    assert not page.heat().any()
    page.tab_to("download")
    page.tab_to("copy")
    page.press(Keys.TAB, Keys.TAB, Keys.ENTER)  # the second picture
    chosen = page.parts("#thumbs button")[1]
    assert chosen.get_attribute("aria-pressed") == "true"
    outline = page.focused().value_of_css_property("outline-style")
    assert outline == "solid"


def test_every_control_has_a_name(page):
    page.open(KNOWN, caption="one two", pictures=2)
    page.wait_for_pictures(2)
    page.wait_for_words()
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})
    kinds = {"button", "textbox", "combobox", "radio", "link", "image"}
    named = [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes["nodes"]
        if node.get("role", {}).get("value") in kinds
    ]
    assert len(named) > 10
    assert [role for role, name in named if not name.strip()] == []
    assert page.part("status").get_attribute("aria-live") == "polite"
    assert page.run("return document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [320, 720])
def test_a_narrow_window_does_not_scroll_sideways(page, width):
    page.resize(width)
    page.open(KNOWN, caption="one two " + "three" * 40, pictures=8)
    page.wait_for_pictures(8)
    page.wait_for_words()
    assert page.run("return document.documentElement.scrollWidth") <= width
    for element in page.parts("button, input, select, textarea, a, .tile"):
        if element.is_displayed():
            box = element.rect
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
    for element in page.parts("form button, form input, #actions > *"):
        assert element.rect["height"] >= 32  # a finger hits it
