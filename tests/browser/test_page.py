"""The caregiver page in a real browser: what a person sees, presses and hears of."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browsing import FAINT, requested
from tests.support.pages import DEVICE, OTHER, Running, alert, running, wall_ms

pytestmark = pytest.mark.browser
PATIENCE_S = 10

# What is on the ECG canvas of the first home: painted pixels, and a sum that changes as they do.
PAINTED = """
const canvas = document.querySelector('[data-stream=ecg] canvas');
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let painted = 0, sum = 0;
for (let index = 3; index < pixels.length; index += 4)
  if (pixels[index] > 100) { painted += 1; sum = (sum * 31 + index) % 1000003; }
return [painted, sum, canvas.width];
"""


@pytest.fixture
def page() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture
def browser(chrome: webdriver.Chrome, page: Running) -> Iterator[webdriver.Chrome]:
    """A browser that shows the page; at the end nothing was complained of and nobody else was asked."""
    chrome.get_log("browser"), chrome.get_log("performance")
    chrome.get(page.address)
    yield chrome
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    complaints = [entry["message"] for entry in chrome.get_log("browser")]
    asked = {urlsplit(address).netloc for address in requested(chrome)}
    chrome.get("about:blank")
    assert not [line for line in complaints if "getImageData" not in line], "only this test reads pixels back"
    assert asked <= {urlsplit(page.address).netloc}, "the page asks this server only"


def until(browser: webdriver.Chrome, what: Callable[[], object]) -> None:
    """Wait until something is so; an element that was just replaced is looked at again."""
    again = (NoSuchElementException, StaleElementReferenceException)
    WebDriverWait(browser, PATIENCE_S, poll_frequency=0.1, ignored_exceptions=again).until(lambda _: what())


def shown(browser: webdriver.Chrome, alert_id: str) -> WebElement:
    """The alarm, once it is on the page."""
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, f'[data-alert="{alert_id}"]'))
    return browser.find_element(By.CSS_SELECTOR, f'[data-alert="{alert_id}"]')


def acknowledged(browser: webdriver.Chrome, alert_id: str) -> bool:
    """Whether the page says so."""
    found = browser.find_element(By.CSS_SELECTOR, f'[data-alert="{alert_id}"]')
    return found.get_attribute("data-acknowledged") == "true" and "Acknowledged at" in found.text


def press(browser: webdriver.Chrome, button: WebElement) -> None:
    """Click, once the list stands still."""
    until(browser, lambda: browser.find_element(By.ID, "alarm-list").get_attribute("data-settling") is None)
    button.click()


def live(browser: webdriver.Chrome) -> None:
    """Wait until the stream is heard."""
    until(browser, lambda: browser.find_element(By.ID, "link").get_attribute("data-link") == "live")


def test_the_ecg_moves(browser: webdriver.Chrome) -> None:
    until(browser, lambda: browser.execute_script(PAINTED)[0] > 300)
    seen = []
    for _ in range(5):
        seen.append(browser.execute_script(PAINTED)[1])
        time.sleep(0.25)
    assert len(set(seen)) >= 4, "the trace changes from one look to the next"
    until(browser, lambda: "10 mm/mV" in browser.find_element(By.CSS_SELECTOR, "[data-stream=ecg] figcaption").text)


def test_values_have_an_age_and_turn_stale(browser: webdriver.Chrome, page: Running) -> None:
    rate = browser.find_element(By.CSS_SELECTOR, f'[data-device="{DEVICE}"] .vital.heart')
    until(browser, lambda: "72" in rate.text and "now" in rate.text)
    page.feeding.clear()
    until(browser, lambda: rate.get_attribute("data-age") == "fresh" and " s" in rate.text)
    WebDriverWait(browser, 15).until(lambda _: rate.get_attribute("data-age") == "stale")
    assert "stale, 1" in rate.text and "72" in rate.text
    quiet = browser.find_element(By.CSS_SELECTOR, f'[data-device="{DEVICE}"] [data-stream=ecg]')
    assert "No signal" in quiet.text


def test_a_new_alarm_appears_without_a_reload_and_is_told(browser: webdriver.Chrome, page: Running) -> None:
    live(browser)
    browser.execute_script("window.sameDocument = true")
    page.raise_alert(alert("m1", kind="spo2_low", priority="medium", text="Oxygen saturation low", device=OTHER))
    shown(browser, "m1")
    page.raise_alert(alert("h1"))
    first = shown(browser, "h1")
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".alarm").get_attribute("data-alert") == "h1")
    assert "Ada Example" in first.text and "SIMULATED" in first.text and "***" in first.text
    assert browser.title == "(2) Vigil" and browser.find_element(By.ID, "count").text == "2"
    assert "Fall" in browser.find_element(By.ID, "cried").get_attribute("textContent")
    home = browser.find_element(By.CSS_SELECTOR, f'article[data-device="{DEVICE}"]')
    until(browser, lambda: home.get_attribute("data-alarm") == "high")
    page.call(page.hub.publish_alert, alert("h1", state="resolved"))
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, '[data-alert="h1"]'))
    assert browser.execute_script("return window.sameDocument") is True


def test_a_click_acknowledges(browser: webdriver.Chrome, page: Running) -> None:
    live(browser)
    page.raise_alert(alert("c1"))
    press(browser, shown(browser, "c1").find_element(By.TAG_NAME, "button"))
    until(browser, lambda: acknowledged(browser, "c1"))
    assert page.desk.kept["c1"]["acknowledged_ms"] is not None
    assert browser.title == "Vigil" and urlsplit(browser.current_url).path == "/"


def test_a_second_press_on_the_same_spot_does_not_acknowledge_the_alarm_that_has_moved_there(
    browser: webdriver.Chrome, page: Running
) -> None:
    live(browser)
    page.raise_alert(alert("d1"))
    page.raise_alert(alert("d2", priority="low"))
    shown(browser, "d2")
    upper = shown(browser, "d1").find_element(By.TAG_NAME, "button")
    until(browser, lambda: browser.find_element(By.ID, "alarm-list").get_attribute("data-settling") is None)
    script = """
      const [upper, done] = arguments, at = upper.getBoundingClientRect(), first = upper.closest('[data-alert]');
      new MutationObserver((_, observer) => {
        if (first.dataset.acknowledged !== 'true') return;
        observer.disconnect();
        requestAnimationFrame(() => {
          const found = document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2);
          found.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true, detail: 2}));
          done(found.closest('[data-alert]').dataset.alert);
        });
      }).observe(first, {attributes: true});
      upper.click();"""
    assert browser.execute_async_script(script, upper) == "d2", "the other alarm's button lies there now"
    live(browser)
    until(browser, lambda: browser.find_element(By.ID, "alarm-list").get_attribute("data-settling") is None)
    assert page.desk.kept["d2"]["acknowledged_ms"] is None
    press(browser, shown(browser, "d2").find_element(By.TAG_NAME, "button"))
    until(browser, lambda: acknowledged(browser, "d2"))


def test_the_keyboard_acknowledges_and_goes_on_to_the_next(browser: webdriver.Chrome, page: Running) -> None:
    live(browser)
    page.raise_alert(alert("k1"))
    page.raise_alert(alert("k2", priority="low", technical=True, text="The device's battery is low"))
    shown(browser, "k1"), shown(browser, "k2")
    for _ in range(6):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if "Acknowledge: Fall" in (browser.switch_to.active_element.get_attribute("aria-label") or ""):
            break
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(browser, lambda: acknowledged(browser, "k1"))
    label = browser.switch_to.active_element.get_attribute("aria-label") or ""
    assert label.startswith("Acknowledge: The device's battery is low")
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    until(browser, lambda: acknowledged(browser, "k2"))


def test_an_acknowledging_that_fails_is_said_and_can_be_tried_again(browser: webdriver.Chrome, page: Running) -> None:
    live(browser)
    page.raise_alert(alert("t1"))
    button = shown(browser, "t1").find_element(By.TAG_NAME, "button")
    kept = page.desk.kept.pop("t1")
    press(browser, button)
    until(browser, lambda: "Not acknowledged: no alarm has this id" in shown(browser, "t1").text)
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    assert len(complaints) == 1 and "404" in complaints[0]
    page.desk.kept["t1"] = kept
    assert button.text == "Try again"
    button.click()
    until(browser, lambda: acknowledged(browser, "t1"))


def test_without_scripts_the_form_acknowledges(browser: webdriver.Chrome, page: Running) -> None:
    page.raise_alert(alert("n1"))
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(page.address)
    assert "Read at" in browser.find_element(By.ID, "link").text
    shown(browser, "n1").find_element(By.TAG_NAME, "button").click()
    until(browser, lambda: acknowledged(browser, "n1"))
    assert page.desk.kept["n1"]["acknowledged_ms"] is not None


def test_a_lost_connection_is_said_and_found_again(browser: webdriver.Chrome, page: Running) -> None:
    live(browser)
    page.call(page.hub.close)  # the stream ends; the browser comes back by itself
    until(browser, lambda: browser.find_element(By.ID, "lost").is_displayed())
    said = browser.find_element(By.ID, "lost").text
    assert "new alarms do not show" in said
    assert re.search(r"Not live since \d\d:\d\d:\d\d \(\d+ s\)", said)
    live(browser)
    assert not browser.find_element(By.ID, "lost").is_displayed()


def test_a_gateway_that_hangs_with_its_connections_open_is_told(browser: webdriver.Chrome, page: Running) -> None:
    live(browser)
    page.loop.call_soon_threadsafe(time.sleep, 20)
    WebDriverWait(browser, 19).until(lambda _: browser.find_element(By.ID, "lost").is_displayed())
    assert "Not live since" in browser.find_element(By.ID, "lost").text
    live(browser)


HOSTILE = """<img src=x onerror="window.hurt=1"><script>window.hurt=2</script>"'&"""


def test_hostile_names_texts_and_times_are_text_and_hide_no_other_alarm(
    browser: webdriver.Chrome, page: Running
) -> None:
    live(browser)
    for number, onset_ms in enumerate((1 << 53, 0, -(1 << 53))):
        page.raise_alert(alert(f"x{number}", text=HOSTILE, onset_ms=onset_ms, acknowledged_by=HOSTILE))
    page.desk.places.append({"device": "cc", "name": HOSTILE, "state": HOSTILE, "simulated": True})
    page.raise_alert(alert("after", device="cc"))
    assert HOSTILE in shown(browser, "after").text
    for number in range(3):
        found = shown(browser, f"x{number}")
        assert HOSTILE in found.text and "NaN" not in found.text
    assert not browser.execute_script("return window.hurt || document.querySelectorAll('main img').length")


def test_a_home_that_is_paired_meanwhile_has_its_name_and_an_alarm_leads_to_it(
    browser: webdriver.Chrome, page: Running
) -> None:
    live(browser)
    page.desk.places.append({"device": "dd", "name": "Dee Example", "state": "active", "simulated": True})
    page.raise_alert(alert("new", device="dd"))
    found = shown(browser, "new")
    until(browser, lambda: "Dee Example" in found.text)
    assert "emergency number" in found.text
    found.find_element(By.LINK_TEXT, "Dee Example").click()
    assert browser.execute_script("return document.querySelector(':target').dataset.device") == "dd"
    tops = {
        home.get_attribute("data-device"): (home.location["y"], home.location["x"])
        for home in browser.find_elements(By.CSS_SELECTOR, "article.home")
    }
    assert min(tops, key=lambda device: tops[str(device)]) == "dd", "who needs help comes first"


def test_an_open_alarm_without_sound_is_itself_warned_of(browser: webdriver.Chrome, page: Running) -> None:
    live(browser)
    button = browser.find_element(By.ID, "sound")
    until(browser, lambda: button.get_attribute("data-warn") == "false")
    page.raise_alert(alert("w1"))
    until(browser, lambda: button.get_attribute("data-warn") == "true")
    button.click()
    until(browser, lambda: button.get_attribute("data-warn") == "false")
    button.click()


@pytest.mark.parametrize("width", [320, 375])
def test_a_telephone_shows_everything_without_sideways_scrolling(
    browser: webdriver.Chrome, page: Running, width: int
) -> None:
    page.desk.places[1]["name"] = "A very long name without any place to break it: " + "Wolfeschlegelstein" * 4
    page.raise_alert(alert("p1", text="Something" * 12))
    metrics = {"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.address)
    until(browser, lambda: browser.execute_script(PAINTED)[0] > 300)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    button = shown(browser, "p1").find_element(By.TAG_NAME, "button")
    assert button.size["height"] >= 44 and button.size["width"] > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_and_it_looks_as_it_should(
    browser: webdriver.Chrome, page: Running, scheme: str, tmp_path: Path
) -> None:
    page.raise_alert(alert("s1"))
    page.raise_alert(alert("s2", priority="medium", text="Oxygen saturation low", device=OTHER))
    page.raise_alert(alert("s3", priority="low", technical=True, text="The device's battery is low"))
    page.raise_alert(alert("s4", acknowledged_ms=wall_ms(), acknowledged_by="the caregiver page"))
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.address)
    until(browser, lambda: browser.execute_script(PAINTED)[0] > 600)
    assert browser.execute_script(FAINT) == []
    picture = tmp_path / f"{scheme}.png"
    assert browser.save_screenshot(str(picture))
    print(f"screenshot: {picture}")


def test_nothing_flashes_for_who_wants_no_motion(browser: webdriver.Chrome, page: Running) -> None:
    page.raise_alert(alert("f1"))
    mark = shown(browser, "f1").find_element(By.CSS_SELECTOR, ".mark")
    assert mark.value_of_css_property("animation-name") == "flash"
    assert mark.value_of_css_property("animation-duration") == "0.5s", "twice a second"
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert mark.value_of_css_property("animation-name") == "none"


def test_sound_is_off_until_it_is_asked_for(browser: webdriver.Chrome) -> None:
    button = browser.find_element(By.ID, "sound")
    until(browser, button.is_displayed)
    assert button.text.endswith("Sound is off")
    button.click()
    until(browser, lambda: button.text.endswith("Sound is on") and button.get_attribute("aria-pressed") == "true")
    button.click()
    until(browser, lambda: button.text.endswith("Sound is off"))
