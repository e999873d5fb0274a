"""A browser without a window, and what tests of any page look for in it."""

import json
import os
import shutil

import pytest
from selenium import webdriver

# Contrast of every text with the ground that it stands on, as WCAG 2 counts it; what is below 4.5 is returned.
FAINT = """
const light = ([r, g, b]) => [r, g, b].map((part) => (part /= 255) <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
const faint = [];
for (const element of document.querySelectorAll('body *')) {
  const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
  if (!text.length || !element.checkVisibility() || element.closest('.hidden, .skip, noscript, .mark')) continue;
  let ground = element;
  while (ground && (numbers(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
  const [a, b] = [element, ground || document.documentElement]
    .map((found, index) => light(numbers(index ? getComputedStyle(found).backgroundColor : getComputedStyle(found).color)));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) faint.push([element.textContent.trim().slice(0, 40), Number(ratio.toFixed(2))]);
}
return faint;
"""


def missing(reason: str) -> None:
    """Skip, or fail where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def opened() -> webdriver.Chrome:
    """A browser without a window."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        missing("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium)
    options.add_argument("--headless=new")
    options.add_argument("--window-size=1280,1100")
    options.add_argument("--disable-background-networking")
    options.add_argument("--disable-dev-shm-usage")  # containers have a small /dev/shm
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # the sandbox refuses to run as root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))


def requested(chrome: webdriver.Chrome) -> list[str]:
    """Every address that the page asked for over a network."""
    found = []
    for entry in chrome.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return [address for address in found if address.startswith(("http", "ws"))]
