"""The page as HTML, whole and usable without scripts. Every value that is put in is escaped here and nowhere else.

The same markup, with nothing in it, is also on the page as templates, which the scripts copy for new alarms and homes.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import NamedTuple
from urllib.parse import quote

from gateway.detect.finding import KINDS

REFRESH_S = 10  # a browser without scripts loads the page again
MARKS = {"high": "***", "medium": "**", "low": "*"}  # as patient monitors write priorities, so that colour is not alone
PRIORITIES = ("high", "medium", "low")
ENDED = frozenset({"resolved"})  # states in which an alarm is no longer open
SHOWN_FROM_MS, SHOWN_TO_MS = 86_400_000, 253_402_000_000_000  # dates from 1970 to 9999; a device may claim any other
SPOOLED_MS = 8 * 86_400_000  # an alarm that a device says is older than its spool keeps is dated by its receipt
NOW_MS = 5_000  # younger than this is "now"
USUAL = frozenset({"enrolled", "active", ""})  # states of a device that say nothing to a caregiver
TOLD = {"escalated": "escalated", "exhausted": "nobody has answered"}  # states that a person has to know of

Fields = Mapping[str, object]


class Shown(NamedTuple):
    """A vital sign on the page. names: of one tile, joined by a slash; style: its colour; always: also without a value;
    stale_s, lost_s: from which age on a value is shown as stale, and not shown at all: longer for what is measured now
    and then."""

    label: str
    unit: str
    names: tuple[str, ...]
    style: str
    digits: int
    always: bool
    stale_s: int = 10
    lost_s: int = 30


SHOWN = (
    Shown("Heart rate", "bpm", ("MDC_ECG_HEART_RATE",), "heart", 0, True),
    Shown("Oxygen", "% SpO₂", ("MDC_PULS_OXIM_SAT_O2",), "oxygen", 0, True),
    Shown("Breathing", "/min", ("MDC_RESP_RATE",), "breath", 0, True, 30, 60),
    Shown("Temperature", "°C", ("MDC_TEMP_BODY",), "warmth", 1, True, 180, 900),
    Shown("Pulse", "bpm", ("MDC_PULS_OXIM_PULS_RATE",), "oxygen", 0, False),
    Shown(
        "Blood pressure",
        "mmHg",
        ("MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA"),
        "pressure",
        0,
        False,
        900,
        3600,
    ),
)
WAVES = (("ecg", "ECG"), ("ppg", "Pulse wave"))
_ALIVE = "Call or go at once. No answer, no normal breathing: emergency number, then chest compressions."
_LOOK = "Call or go and see how the person is. If they are unwell: emergency number."
TODO = {  # by kind: what whoever sees the alarm does first
    "fall": "Call the person or a neighbour at once, and go there. Hurt, or no answer: emergency number.",
    "device_fall": "Call the person or a neighbour at once, and go there. Hurt, or no answer: emergency number.",
    "button": "Call the person back at once. No answer: go there or send somebody.",
    "asystole": _ALIVE,
    "ventricular_fibrillation": _ALIVE,
    "ventricular_tachycardia": _ALIVE,
    "extreme_bradycardia": _LOOK,
    "extreme_tachycardia": _LOOK,
    "spo2_critical": "Call or go at once: is the sensor on the finger? Short of breath, or no answer: emergency number.",
    "spo2_low": "Call or go and see: is the person short of breath, is the sensor on the finger?",
    "lead_off": "The person is watched less or not at all. Ask them to put the sensor back on.",
    "poor_signal": "The person is watched less or not at all. Check that the sensors sit and do not move.",
    "device_silent": "The person is not watched. Call them; check the device's power and network.",
    "tamper": "Ask who opened the device; do not trust its values until it has been looked at.",
    "low_battery": "Charge or change the battery today.",
    "channel_failed": "Do not count on being called: keep this page in sight, and tell who runs the gateway.",
    "storage_failing": "Keep this page in sight, and tell who runs the gateway at once.",
    "ledger_behind": "Nobody is in danger by it. Tell who runs the gateway.",
    "ledger_forked": "Nobody is in danger by it. Tell who runs the gateway today: they save the evidence of it first.",
    "ledger_rolled_back": "Nobody is in danger by it. Tell who runs the gateway today: was the ledger restored from a backup?",
}

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
<script type="module" src="/static/page.js"></script>
<noscript><meta http-equiv="refresh" content="$refresh_s"></noscript>
</head>
<body data-now="$now_ms">
<a class="skip" href="#alarms">Skip to the alarms</a>
<header class="top">
<p class="brand"><img src="/static/icon.svg" alt="" width="28" height="28">Vigil</p>
<p class="link" id="link" data-link="none"><span class="dot"></span><span id="link-text">Read at $now</span></p>
<p class="clock"><time id="clock" datetime="$now_iso">$now</time></p>
<button type="button" class="quiet" id="sound" aria-pressed="false" hidden>Sound is off</button>
</header>
<div class="banner" id="lost" hidden><span id="lost-text" role="alert"></span>
<span id="lost-age" aria-hidden="true"></span></div>
<div class="hidden" id="said" role="status" aria-live="polite"></div>
<div class="hidden" id="cried" role="alert" aria-live="assertive"></div>
<main>
<section id="alarms" aria-labelledby="alarms-title" tabindex="-1">
<h1 id="alarms-title">Alarms <span class="count" id="count" data-count="$count">$count</span></h1>
<p class="calm" id="calm"$calm_hidden>No open alarm.</p>
<ol class="alarms" id="alarm-list">$alarms</ol>
</section>
<section aria-labelledby="homes-title">
<h2 id="homes-title">Homes</h2>
<p class="calm" id="no-homes"$no_homes_hidden>No device is paired yet.</p>
<div class="homes" id="home-list">$homes</div>
</section>
</main>
<footer><p>For information only: an aid beside a person's care, not a medical device.</p></footer>
<template id="alarm-template">$alarm_template</template>
<template id="home-template">$home_template</template>
</body>
</html>
""")

_ALARM = Template("""
<li class="alarm" data-alert="$id" data-priority="$priority" data-acknowledged="$acknowledged">
<span class="mark" data-field="mark" aria-hidden="true">$mark</span>
<div class="what">
<p class="text" data-field="text">$text</p>
<p class="about"><a data-field="home" href="#home-$device">$home</a>
<span class="badge" data-field="simulated"$simulated_hidden>Simulated</span>
<span class="since">since <time data-field="since" datetime="$since_iso">$since</time></span>
<span class="since" data-field="age">$age</span>
<span class="priority" data-field="label">$label</span></p>
<p class="todo" data-field="todo"$todo_hidden>$todo</p>
<p class="by" data-field="by"$by_hidden>$by</p>
</div>
<form method="post" action="/alerts/$address/acknowledge"$form_hidden>
<button type="submit" aria-label="Acknowledge: $text, $home">Acknowledge</button></form>
</li>""")

_HOME = Template("""
<article class="home" id="home-$device" data-device="$device" data-state="$state" data-alarm="$alarm" aria-label="$name">
<header><h3 data-field="name">$name</h3><span class="badge" data-field="simulated"$simulated_hidden>Simulated</span>
<span class="state" data-field="state">$said</span></header>
<div class="body"><div class="traces">$traces</div><dl class="vitals">$vitals</dl></div>
</article>""")

_TRACE = Template("""
<figure class="trace" data-stream="$stream" data-seen="false"><canvas role="img" aria-label="$label of $name"></canvas>
<figcaption><span>$label</span> <span data-field="scale"></span></figcaption><p class="none">No signal</p></figure>""")

_VITAL = Template("""
<div class="vital $style" data-age="$stage" data-stale-s="$stale_s" data-lost-s="$lost_s"$hidden><dt>$label</dt>
<dd class="number">$numbers <span class="unit">$unit</span></dd>
<dd class="age" data-field="age">$age</dd></div>""")


def shown_alert(alert: Fields, names: Mapping[str, str]) -> dict[str, object]:
    """An alert with what the page needs besides: `open`, `home` (the name), `mark`, `label`, and `text` where it has none.

    names: of homes by device.
    """
    kind, priority = str(alert.get("kind", "")), str(alert.get("priority", ""))
    priority = priority if priority in PRIORITIES else "high"
    technical = bool(alert.get("technical"))
    text = str(alert.get("text") or (KINDS[kind].text if kind in KINDS else kind))
    device = str(alert.get("device", ""))
    return {
        **alert,
        "open": bool(alert.get("open", alert.get("state") not in ENDED)),
        "priority": priority,
        "text": text,
        "since_ms": _since_ms(alert),
        "todo": TODO.get(kind, ""),
        "home": names.get(device, device),
        "mark": MARKS[priority].replace("*", "!") if technical else MARKS[priority],
        "label": _label(alert, priority),
    }


def _since_ms(alert: Fields) -> int:
    """From when an alarm counts for people: its onset, or where a device's clock is wrong, its receipt."""
    raised_ms = _ms(alert.get("raised_ms"))
    onset_ms = alert.get("onset_ms")
    return onset_ms if isinstance(onset_ms, int) and raised_ms - SPOOLED_MS <= onset_ms <= raised_ms else raised_ms


def _label(alert: Fields, priority: str) -> str:
    parts = (
        f"{priority.capitalize()} priority",
        "technical" if alert.get("technical") else "",
        TOLD.get(str(alert.get("state")), ""),
        "no longer the case" if alert.get("cleared_ms") is not None else "",
    )
    return ", ".join(part for part in parts if part)


def in_order(alerts: Sequence[Fields]) -> list[Fields]:
    """Worst first: not acknowledged, then high before low, then a person's before a device's, then the newest."""
    return sorted(
        alerts,
        key=lambda alert: (
            alert.get("acknowledged_ms") is not None,
            PRIORITIES.index(str(alert["priority"])),
            bool(alert.get("technical")),
            -_ms(alert.get("raised_ms")),
        ),
    )


def page(homes: Sequence[Fields], alerts: Sequence[Fields], values: Mapping[str, Sequence[Fields]], now_ms: int) -> str:
    """The whole page. alerts: as `shown_alert` gives them, open; values: the hub's snapshot; now_ms: Unix time."""
    worst = {alert.get("device"): str(alert["priority"]) for alert in sorted(alerts, key=_urgency, reverse=True)}
    unseen = [alert for alert in alerts if alert.get("acknowledged_ms") is None]
    return _PAGE.substitute(
        title=f"({len(unseen)}) Vigil" if unseen else "Vigil",
        refresh_s=REFRESH_S,
        now=clock(now_ms),
        now_ms=now_ms,
        now_iso=iso(now_ms),
        count=len(alerts),
        calm_hidden=" hidden" if alerts else "",
        no_homes_hidden=" hidden" if homes else "",
        alarms="".join(_alarm(alert, now_ms) for alert in in_order(alerts)),
        homes="".join(
            _home(home, values.get(str(home["device"]), ()), now_ms, worst=worst.get(home["device"], ""))
            for home in homes
        ),
        alarm_template=_alarm({}, now_ms),
        home_template=_home({}, (), now_ms),
    )


def _alarm(alert: Fields, now_ms: int) -> str:
    since_ms, acknowledged_ms = _ms(alert.get("since_ms")), alert.get("acknowledged_ms")
    done = acknowledged_ms is not None
    by = (
        f"Acknowledged at {clock(_ms(acknowledged_ms))} by {alert.get('acknowledged_by') or 'somebody'}" if done else ""
    )
    return _ALARM.substitute(
        id=_text(alert, "id"),
        address=quote(str(alert.get("id", "")), safe=""),
        priority=_text(alert, "priority"),
        acknowledged=str(done).lower(),
        mark=_text(alert, "mark"),
        text=_text(alert, "text"),
        label=_text(alert, "label"),
        home=_text(alert, "home"),
        device=quote(str(alert.get("device", "")), safe=""),
        simulated_hidden="" if alert.get("simulated") else " hidden",
        since=clock(since_ms),
        since_iso=iso(since_ms),
        age=f"({age(now_ms - since_ms)})",
        todo=_text(alert, "todo"),
        todo_hidden="" if alert.get("todo") and not done else " hidden",
        by=escape(by),
        by_hidden="" if done else " hidden",
        form_hidden=" hidden" if done else "",
    )


def _urgency(alert: Fields) -> int:
    return PRIORITIES.index(str(alert["priority"]))


def _home(home: Fields, values: Sequence[Fields], now_ms: int, *, worst: str = "") -> str:
    known = {str(value["name"]): value for value in values}
    name = _text(home, "name") or _text(home, "device")
    return _HOME.substitute(
        device=_text(home, "device"),
        state=_text(home, "state"),
        said=escape(_said(home, values, now_ms)),
        alarm=worst,
        name=name,
        simulated_hidden="" if home.get("simulated") else " hidden",
        traces="".join(_TRACE.substitute(stream=stream, label=label, name=name) for stream, label in WAVES),
        vitals="".join(_vital(shown, known, now_ms) for shown in SHOWN),
    )


def _said(home: Fields, values: Sequence[Fields], now_ms: int) -> str:
    """What is said of a home beside its name: its state where that is unusual, and when it was read last."""
    state, received = str(home.get("state") or ""), [_ms(value.get("received_ms")) for value in values]
    old_ms = now_ms - max(received, default=0)
    read = "no reading yet" if not received else "reading now" if old_ms < NOW_MS else f"last reading {age(old_ms)} ago"
    return read if state in USUAL else f"{state}, {read}"


def _vital(shown: Shown, known: Mapping[str, Fields], now_ms: int) -> str:
    found = [known[name] for name in shown.names if name in known]
    old_ms = now_ms - min((_ms(value["since_ms"]) for value in found), default=0)
    stage = (
        "none" if not found or old_ms > shown.lost_s * 1000 else "stale" if old_ms > shown.stale_s * 1000 else "fresh"
    )
    numbers = "/".join(
        f'<b data-vital="{name}" data-digits="{shown.digits}">{_number(known.get(name), shown.digits, stage)}</b>'
        for name in shown.names
    )
    said = "no data" if not found else f"no data for {age(old_ms)}" if stage == "none" else age(old_ms)
    return _VITAL.substitute(
        style=shown.style,
        stage=stage,
        stale_s=shown.stale_s,
        lost_s=shown.lost_s,
        hidden="" if shown.always or found else " hidden",
        label=shown.label,
        numbers=numbers,
        unit=shown.unit,
        age=f"stale, {said}" if stage == "stale" else said,
    )


def _number(value: Fields | None, digits: int, stage: str) -> str:
    number = value["value"] if value is not None and stage != "none" else None
    return f"{number:.{digits}f}" if isinstance(number, int | float) else "–"


def age(ms: int) -> str:
    """A span of time as people say it, in its largest unit."""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min" if seconds < 86_400 else f"{seconds // 86_400} d"


def clock(ms: int) -> str:
    """The time of day in the gateway's time zone."""
    return _datetime(ms).astimezone().strftime("%H:%M:%S")


def iso(ms: int) -> str:
    """RFC 3339, UTC."""
    return _datetime(ms).isoformat(timespec="milliseconds")


def _datetime(ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(ms, SHOWN_FROM_MS), SHOWN_TO_MS) / 1000, tz=UTC)


def _ms(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    return "" if value is None else escape(str(value))
