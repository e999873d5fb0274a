"""One browser for all pages of a module."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.support.browsing import opened


@pytest.fixture(scope="module")
def chrome() -> Iterator[webdriver.Chrome]:
    driver = opened()
    try:
        yield driver
    finally:
        driver.quit()
