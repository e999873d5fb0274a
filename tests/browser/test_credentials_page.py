"""The pages of staff credentials in a real browser, with scripts switched off, over a party that runs as people run it."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import vigil
from tests.support import running
from tests.support.browsing import FAINT, requested

pytestmark = pytest.mark.browser
PATIENCE_S = 10
PAGES = "/credentials/pages"
PATHS = (f"{PAGES}/", f"{PAGES}/sign-in", f"{PAGES}/holder")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("party") / "state"
    return folder


@pytest.fixture(scope="module")
def url(state: Path) -> Iterator[str]:
    with running.program("party", "run", "--name", "St. Mary's", state=state) as found:
        yield str(found["url"])


@pytest.fixture
def browser(chrome: webdriver.Chrome, url: str) -> Iterator[webdriver.Chrome]:
    """A browser that runs no scripts of pages; at the end nothing was complained of and nobody else was asked."""
    chrome.get_log("browser"), chrome.get_log("performance")
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield chrome
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    complaints = [one["message"] for one in chrome.get_log("browser") if "401 (Unauthorized)" not in one["message"]]
    asked = {urlsplit(address).netloc for address in requested(chrome)}
    chrome.get("about:blank")
    assert complaints == []
    assert asked <= {urlsplit(url).netloc}, "a page asks its own server only"


def code(state: Path, *roles: str) -> str:
    """A sign-in code, as the operator makes it beside the running party."""
    words = ["credentials", "access", "--state", str(state), "--json"]
    for role in roles:
        words += ["--role", role]
    return str(json.loads(CliRunner().invoke(vigil.cli, words).stdout)["code"])


def arrives(browser: webdriver.Chrome, name: str) -> None:
    """Wait for the page that calls itself so."""
    gone = (NoSuchElementException, StaleElementReferenceException)
    WebDriverWait(browser, PATIENCE_S, poll_frequency=0.05, ignored_exceptions=gone).until(
        lambda _: browser.find_element(By.TAG_NAME, "h1").text == name
    )


def test_staff_sign_in_with_the_keyboard_alone_and_out_again(browser: webdriver.Chrome, url: str, state: Path) -> None:
    browser.get(f"{url}{PAGES}/sign-in")
    order = []
    for _ in range(6):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        found = browser.switch_to.active_element
        order.append(found.get_attribute("id") or found.text or found.tag_name)
    assert order == ["Skip to the page", "Staff credentials", "For holders", "Sign in", "code", "Sign in"]
    browser.find_element(By.ID, "code").send_keys(code(state, "issuer", "verifier"), Keys.ENTER)
    arrives(browser, "Staff credentials")
    links = [one.text for one in browser.find_elements(By.CSS_SELECTOR, "nav a")]
    assert links == ["For holders", "Issue", "Verify", "Hire"]
    browser.find_element(By.CSS_SELECTOR, "footer button").click()
    WebDriverWait(browser, PATIENCE_S).until(
        lambda _: [one.text for one in browser.find_elements(By.CSS_SELECTOR, "nav a")] == ["For holders", "Sign in"]
    )


def test_a_wrong_code_is_said_to_be_wrong(browser: webdriver.Chrome, url: str) -> None:
    browser.get(f"{url}{PAGES}/sign-in")
    browser.find_element(By.ID, "code").send_keys("AAAA-BBBB", Keys.ENTER)
    arrives(browser, "Sign in first")
    assert "ask for a new one" in browser.find_element(By.TAG_NAME, "main").text


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_fits_without_sideways_scrolling(browser: webdriver.Chrome, url: str, path: str, width: int) -> None:
    metrics = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 640}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url + path)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    for button in browser.find_elements(By.CSS_SELECTOR, "button, input:not([type=hidden]), select"):
        assert button.size["height"] >= 44


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_every_text_stands_out(browser: webdriver.Chrome, url: str, path: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(url + path)
    assert browser.find_element(By.TAG_NAME, "body").value_of_css_property("margin-top") == "0px", "the style is there"
    assert browser.execute_script(FAINT) == []
