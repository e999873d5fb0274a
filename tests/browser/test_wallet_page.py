"""The wallet in a real browser: a key made there, an offer taken up, a request answered, and what is shown before that."""

import json
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from ledger.credentials.exchange import dcql
from ledger.credentials.vc import sdjwt
from tests.support import exchanged, parties
from tests.support.browsing import FAINT, requested
from tests.support.exchanged import Served

pytestmark = pytest.mark.browser
PATIENCE_S = 10
DRAFT = {"type": "Degree", "claims": {"programme": "Medicine <b>", "birthDate": "1980-02-03"}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with exchanged.serving(tmp_path_factory.mktemp("wallet")) as found:
        yield found


@pytest.fixture
def page(chrome: webdriver.Chrome, served: Served) -> Iterator[webdriver.Chrome]:
    """The wallet, empty and with a key; nothing was complained of at the end."""
    served.world.clock.ms = parties.now_ms()
    chrome.get(f"{served.url}/credentials/pages/sign-in")
    chrome.execute_async_script(
        "const gone = indexedDB.deleteDatabase('vigil-credentials'); gone.onsuccess = arguments[0]; gone.onblocked = arguments[0];"
    )
    chrome.get_log("browser"), chrome.get_log("performance")
    chrome.get(f"{served.url}/credentials/pages/wallet")
    until(chrome, lambda: chrome.find_element(By.ID, "wallet-did").text.startswith("did:key:z"))
    yield chrome
    assert [one["message"] for one in chrome.get_log("browser")] == []
    assert all(address.startswith(served.url) for address in requested(chrome))


def until(chrome: webdriver.Chrome, holds: object) -> None:
    WebDriverWait(chrome, PATIENCE_S).until(lambda _: holds())  # type: ignore[operator]


def said(chrome: webdriver.Chrome) -> str:
    return chrome.find_element(By.ID, "wallet-said").text


def opened(chrome: webdriver.Chrome, link: str) -> str:
    """What the page shows for a link, before anything is agreed to."""
    field_ = chrome.find_element(By.ID, "wallet-link")
    chrome.execute_script("arguments[0].value = arguments[1]", field_, link)
    chrome.find_element(By.CSS_SELECTOR, "#wallet-open button").click()
    choice = chrome.find_element(By.ID, "wallet-choice")
    until(chrome, lambda: choice.text or said(chrome))
    return choice.text


def press(chrome: webdriver.Chrome, name: str) -> None:
    chrome.find_element(By.XPATH, f"//div[@id='wallet-choice']//button[.='{name}']").click()
    until(chrome, lambda: said(chrome))


def received(served: Served, chrome: webdriver.Chrome, form: str) -> None:
    offer = served.world.offering.offer("Degree", form, DRAFT)
    opened(chrome, offer.short)
    chrome.find_element(By.ID, "wallet-secret").send_keys(str(offer.tx_code))
    press(chrome, "Take it")
    assert said(chrome) == "It is in your wallet."
    assert served.world.offering.state(offer.name) == "credential_accepted"


@pytest.mark.parametrize("form", ["ldp_vc", "dc+sd-jwt"])
def test_a_credential_goes_from_offer_to_verdict_in_a_browser(
    served: Served, page: webdriver.Chrome, form: str
) -> None:
    received(served, page, form)
    asked = served.world.asking.ask(dcql.query_for(["Degree"]), purpose="Hiring a nurse")
    shown = opened(page, asked.link)
    assert "B clinic" in shown and "Hiring a nurse" in shown and "Degree" in shown
    press(page, "Show this")
    assert said(page) == "They found it valid."
    assert served.world.asking.result(asked.name).outcome == "valid"
    history = page.find_element(By.ID, "wallet-history").text
    assert "B clinic" in history and "You showed: Degree." in history


def test_a_browser_without_ed25519_signs_with_p256(served: Served, page: webdriver.Chrome) -> None:
    without = """const make = SubtleCrypto.prototype.generateKey;
    SubtleCrypto.prototype.generateKey = function (how, ...rest) {
      return how.name === 'Ed25519' ? Promise.reject(new Error('unknown')) : make.call(this, how, ...rest);
    };
    indexedDB.deleteDatabase('vigil-credentials');"""
    added = page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": without})
    page.refresh()
    until(page, lambda: page.find_element(By.ID, "wallet-did").text.startswith("did:key:zDn"))
    page.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    received(served, page, "ldp_vc")
    received(served, page, "dc+sd-jwt")
    query = dcql.query_for(["Degree"])
    asked = served.world.asking.ask({"credentials": query["credentials"]}, purpose="Hiring")
    opened(page, asked.link)
    press(page, "Show this")
    assert served.world.asking.result(asked.name).outcome == "valid"
    assert [len(each) for each in served.world.asking.result(asked.name).verdicts.values()] == [1, 1]


def test_the_page_shows_what_would_be_disclosed_and_discloses_no_more(served: Served, page: webdriver.Chrome) -> None:
    received(served, page, "dc+sd-jwt")
    meta = {"vct_values": [dcql.vct_of("Degree")]}
    query = {"credentials": [{"id": "a", "format": "dc+sd-jwt", "meta": meta, "claims": [{"path": ["programme"]}]}]}
    asked = served.world.asking.ask(query, purpose="Hiring")
    shown = opened(page, asked.short)
    assert "Medicine <b>" in shown and "1980-02-03" not in shown
    press(page, "Show this")
    raw, _, _ = served.world.judged[-1]
    assert {each.name for each in sdjwt.read(raw.decode()).disclosures} == {"programme"}


def test_a_no_is_told_and_kept(served: Served, page: webdriver.Chrome) -> None:
    received(served, page, "ldp_vc")
    asked = served.world.asking.ask(dcql.query_for(["Degree"]), purpose="Hiring")
    opened(page, asked.link)
    press(page, "Do not show")
    assert served.world.asking.result(asked.name).state == "declined"
    assert "You said no." in page.find_element(By.ID, "wallet-history").text


def test_what_the_wallet_lacks_is_said_and_nothing_is_sent(served: Served, page: webdriver.Chrome) -> None:
    asked = served.world.asking.ask(dcql.query_for(["Degree"]), purpose="Hiring")
    opened(page, asked.link)
    assert "does not have all" in said(page)
    assert served.world.asking.result(asked.name).state == "asked"


def test_the_key_stays_in_the_browser_and_is_there_again(served: Served, page: webdriver.Chrome) -> None:
    name = page.find_element(By.ID, "wallet-did").text
    read = page.execute_async_script(
        """const done = arguments[0]; const open = indexedDB.open('vigil-credentials', 1);
        open.onsuccess = () => { const got = open.result.transaction('wallet').objectStore('wallet').get('key');
        got.onsuccess = () => crypto.subtle.exportKey('pkcs8', got.result.privateKey).then(() => done('read'), () => done('no')); };"""
    )
    assert read == "no"
    page.refresh()
    until(page, lambda: page.find_element(By.ID, "wallet-did").text == name)


def test_every_text_is_dark_enough_and_the_page_has_no_script_of_its_own(page: webdriver.Chrome) -> None:
    assert page.execute_script(FAINT) == []
    sources = page.execute_script("return [...document.scripts].map((one) => [one.src !== '', one.textContent])")
    assert sources and all(found == [True, ""] for found in json.loads(json.dumps(sources)))
