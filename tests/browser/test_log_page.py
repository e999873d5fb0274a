"""The ledger's pages in a real browser, with scripts switched off: what a person sees, types and follows."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from ledger import contracts
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import statement
from tests.support import ledgers
from tests.support.browsing import FAINT, requested
from tests.support.serving import served

pytestmark = pytest.mark.browser
SIZE, PATIENCE_S = 300, 10
PATHS = ("/", "/log/entries/1.7", f"/log/entries/1.{SIZE - 1}", "/log/find?q=9.9")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("log")
    with ledgers.checked(folder) as found:
        found.register(ledgers.admission(folder))
        found.register_many([ledgers.anchor(n) for n in range(SIZE - found.size)])
        yield found


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    with served(http.app(engine, Metrics(contracts.CODES))) as found:
        yield found


@pytest.fixture
def browser(chrome: webdriver.Chrome, url: str) -> Iterator[webdriver.Chrome]:
    """A browser that runs no scripts of pages; at the end nothing was complained of and nobody else was asked."""
    chrome.get_log("browser"), chrome.get_log("performance")
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield chrome
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    complaints = [one["message"] for one in chrome.get_log("browser") if "404 (Not Found)" not in one["message"]]
    asked = {urlsplit(address).netloc for address in requested(chrome)}
    chrome.get("about:blank")
    assert complaints == []
    assert asked <= {urlsplit(url).netloc}, "a page asks its own server only"


def heading(browser: webdriver.Chrome) -> str:
    """What the page calls itself."""
    return str(browser.find_element(By.TAG_NAME, "h1").text)


def arrives(browser: webdriver.Chrome, name: str) -> None:
    """Wait for the page that calls itself so."""
    gone = (NoSuchElementException, StaleElementReferenceException)
    WebDriverWait(browser, PATIENCE_S, poll_frequency=0.05, ignored_exceptions=gone).until(
        lambda _: heading(browser) == name
    )


def test_an_entry_is_found_by_its_number_with_the_keyboard_alone(browser: webdriver.Chrome, url: str) -> None:
    browser.get(url)
    order = []
    for _ in range(5):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        found = browser.switch_to.active_element
        order.append(found.get_attribute("id") or found.text or found.tag_name)
    assert order[:4] == ["Skip to the page", "Vigil ledger", "q", "Find"]
    field = browser.find_element(By.ID, "q")
    field.send_keys("1.7", Keys.ENTER)
    arrives(browser, "Entry 1.7")
    assert urlsplit(browser.current_url).path == "/log/entries/1.7"


def test_an_entry_is_found_by_the_digest_of_its_statement(browser: webdriver.Chrome, url: str, engine: Engine) -> None:
    browser.get(url)
    digest = statement.entry(engine.statement(9)).hex()
    browser.find_element(By.ID, "q").send_keys(digest)
    browser.find_element(By.TAG_NAME, "button").click()
    arrives(browser, "Entry 1.9")
    assert digest in browser.find_element(By.TAG_NAME, "main").text


def test_what_is_not_found_is_said_and_can_be_asked_again(browser: webdriver.Chrome, url: str) -> None:
    browser.get(f"{url}/log/find?q=<b>9.9")
    assert heading(browser) == "Not Found"
    assert browser.find_element(By.ID, "q").get_attribute("value") == "<b>9.9"
    assert not browser.find_elements(By.CSS_SELECTOR, "main b")


def test_the_proof_is_drawn_from_the_entry_to_the_root(browser: webdriver.Chrome, url: str, engine: Engine) -> None:
    browser.get(f"{url}/log/entries/1.7")
    drawing = browser.find_element(By.CSS_SELECTOR, "svg.proof")
    assert f"Proof of entry 1.7: 9 hashes lead from it to the root of the tree of {SIZE} entries" == (
        drawing.get_attribute("aria-label")
    )
    boxes = {kind: drawing.find_elements(By.CSS_SELECTOR, f"g.{kind} rect") for kind in ("leaf", "given", "root")}
    assert {kind: len(found) for kind, found in boxes.items()} == {"leaf": 1, "given": 9, "root": 1}
    assert boxes["root"][0].rect["y"] < min(one.rect["y"] for one in boxes["given"]) <= boxes["leaf"][0].rect["y"]
    details = browser.find_element(By.TAG_NAME, "details")
    assert len(details.find_elements(By.TAG_NAME, "li")) == 9
    details.find_element(By.TAG_NAME, "summary").click()
    assert details.get_attribute("open") is not None


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("path", PATHS)
def test_a_telephone_shows_everything_without_sideways_scrolling(
    browser: webdriver.Chrome, url: str, path: str, width: int
) -> None:
    metrics = {"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url + path)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    for button in browser.find_elements(By.TAG_NAME, "button"):
        assert button.size["height"] >= 44


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_every_text_stands_out_and_it_looks_as_it_should(
    browser: webdriver.Chrome, url: str, path: str, scheme: str, tmp_path: Path
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(url + path)
    assert browser.find_element(By.TAG_NAME, "body").value_of_css_property("margin-top") == "0px", "the style is there"
    assert [one for one in browser.execute_script(FAINT) if one[0]] == []
    picture = tmp_path / f"{scheme}.png"
    assert browser.save_screenshot(str(picture))
    print(f"screenshot: {picture}")
