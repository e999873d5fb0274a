"""`vigil gateway`: run, key, pair, devices, alerts, erase, evidence, ledger-evidence, check-config."""

import asyncio
import datetime
import io
import json
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import segno

from gateway import commands, evidence, keyring, pairing, preflight, service
from gateway.alerts.book import Alert
from gateway.settings import EVERYWHERE, Settings
from gateway.store import alerts as alert_rows
from gateway.store import contradictions, devices, keys, messages, schema
from gateway.store.writer import KEYS_FILE, RECORD_FILE, Writer
from ledger.client import Client
from protocol import config, conflict, topics
from protocol import pairing as wire_pairing
from protocol.answer import Answer, Host
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable
from protocol.evidence import Trust, describe

TABLE = "gateway"
CONFIG_NAME = "vigil.toml"
ISO_MAX_MS = 253_402_300_800_000  # the year 10,000, which ISO 8601 and the standard library do not write


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _settings(host: Host, file: Path | None, **flags: object) -> Settings:
    named = file or (Path(host.env["VIGIL_CONFIG"]) if host.env.get("VIGIL_CONFIG") else None)
    chosen = named or (Path(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else None)
    text = "" if chosen is None else preflight.read(chosen, "settings file").decode("utf-8", "replace")
    return config.resolve(Settings, TABLE, text=text, env=host.env, flags=flags)


def _common(command: Any) -> Any:
    command = click.option("--state", type=click.Path(path_type=Path), help="The gateway's folder.")(command)
    return click.option("--config", "file", type=click.Path(path_type=Path), help="Settings file.")(command)


def _identity(settings: Settings) -> keyring.Keyring:
    """The keys, for whoever serves nothing with them: a server certificate is made where there is none, never changed."""
    if not (settings.state / keyring.FOLDER / keyring.SERVER_FILE).exists():
        return _keyring(settings)
    return keyring.opened(settings.state, names=None, now=datetime.datetime.now(datetime.UTC))


def _keyring(settings: Settings) -> keyring.Keyring:
    names = tuple(
        dict.fromkeys(
            address.rsplit(":", 1)[0].strip("[]")
            for address in (settings.mqtt_address, settings.pair_address, f"{settings.mqtt_host}:0")
            if address
        )
    )
    names = tuple(name for name in names if name not in EVERYWHERE)
    return keyring.opened(settings.state, names=names, now=datetime.datetime.now(datetime.UTC))


@contextmanager
def _record(settings: Settings, name: str = RECORD_FILE) -> Iterator[sqlite3.Connection]:
    path = settings.state / name
    if not path.exists():
        raise NotFound("state_unknown", f"there is no gateway in {settings.state}; name its folder with --state")
    connection = schema.reader(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise Unavailable("store_unreadable", f"cannot read {path}: {error}") from error
    finally:
        connection.close()


@click.group()
def cli() -> None:
    """The edge gateway."""


@cli.command()
@_common
@click.option("--mqtt-port", type=int, help="Where devices connect; 0: any free port.")
@click.option("--pair-port", type=int, help="Where devices are paired.")
@click.option("--page-port", type=int, help="The caregivers' page.")
@click.option("--page-host", help="A loopback address.")
@click.option("--metrics-port", type=int, help="Metrics and health.")
@click.option("--plain-port", type=int, help="A listener without TLS for benchmarks, on loopback.")
@click.option("--ledger-url", help="The ledger's address.")
@click.option("--trust", help="File with the ledger's keys.")
@click.option("--admission", help="File with the registry's admission of this gateway.")
@click.option("--anchor-every-s", type=float, help="Seconds between batches.")
@click.option("--webhook-first", help="Address that alerts are posted to.")
@click.option("--webhook-second", help="Address for alerts that nobody acknowledges.")
@click.option("--demo", is_flag=True, default=None, help="Simulated data raises alarms, and every one is marked.")
@click.pass_obj
def run(host: Host, /, state: Path | None, file: Path | None, **flags: object) -> None:
    """Serve devices and caregivers until SIGTERM."""
    settings = _settings(host, file, state=state, **flags)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    given = preflight.check(settings)

    def ready(ports: Mapping[str, object]) -> None:
        if host.json:
            click.echo(json.dumps({"event": "ready", **ports}))
        else:
            click.echo(f"devices   {ports['address']}")
            page = f"[{settings.page_host}]" if ":" in settings.page_host else settings.page_host
            click.echo(f"the page  http://{page}:{ports['page']}/")
            if settings.plain_port >= 0:
                click.echo(f"NOT SAFE  a listener without TLS is open on 127.0.0.1:{ports['plain']}")
        host.ready()

    with commands.sole(settings.state):
        ring = _keyring(settings)
        preflight.check_admission(given, ring.key.public)
        asyncio.run(service.run(settings, ring, trust=given.trust, admission=given.admission, ready=ready))


@cli.command()
@_common
@click.pass_obj
def key(host: Host, state: Path | None, file: Path | None) -> Answer:
    """The gateway's public key, made on first use."""
    settings = _settings(host, file, state=state)
    public = _identity(settings).key.public
    return Answer(data={"key": public.x.hex(), "urn": public.urn}, text=public.x.hex())


@cli.command()
@_common
@click.option("--address", help="host:port of the pairing endpoint, as devices reach it.")
@click.option("--name", default="", help="What people call this home.")
@click.pass_obj
def pair(host: Host, state: Path | None, file: Path | None, address: str | None, name: str) -> Answer:
    """Show a code with which one device can join, for ten minutes."""
    settings = _settings(host, file, state=state)
    offer = _offer(settings, address)
    now_ms = _now_ms()
    expires_ms = now_ms + wire_pairing.VALID_S * 1000
    writer = Writer(settings.state)
    try:
        writer.submit(
            lambda conn: keys.offer(conn, offer.secret, name=name, expires_ms=expires_ms, now_ms=now_ms), file=KEYS_FILE
        ).result()
    finally:
        writer.close()
    text = offer.text()
    shown = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out=shown, compact=True)
    return Answer(
        data={"offer": text, "expires": _iso(expires_ms)},
        text=f"{shown.getvalue()}\n{text}\n\nGood for ten minutes and one device:\n  vigil device pair '{text}'",
    )


def _offer(settings: Settings, address: str | None) -> wire_pairing.Offer:
    """An offer that a device can read, with an address that it can call."""
    host = f"[{settings.pair_host}]" if ":" in settings.pair_host else settings.pair_host
    told = address or settings.pair_address or f"{host}:{settings.pair_port}"
    offer = pairing.make_offer(_identity(settings), address=told)
    try:
        wire_pairing.Offer.from_text(offer.text())
    except Malformed as error:
        raise ConfigError("pair_address", f"{told} is no host:port: give --address, or set pair_address") from error
    if told.rpartition(":")[0].strip("[]") in EVERYWHERE:
        raise ConfigError("pair_address", f"nobody can call {told}: give --address, or set pair_address")
    return offer


@cli.command(name="devices")
@_common
@click.pass_obj
def list_devices(host: Host, state: Path | None, file: Path | None) -> Answer:
    """Who is enrolled, and how they are."""
    settings = _settings(host, file, state=state)
    with _record(settings) as conn:
        counts = messages.counts(conn)
        found: list[dict[str, object]] = [
            {
                "device": row.device,
                "name": row.name,
                "state": row.state,
                "paired": _iso(row.paired_ms),
                "messages": counts.get(row.row_id, 0),
            }
            for row in devices.load(conn)
        ]
    lines = [f"{d['device']}  {d['state']:<11} {d['messages']:>9} messages  {d['name']}" for d in found]
    return Answer(data={"devices": found}, text="\n".join(lines) or "no device is enrolled")


@cli.group()
def alerts() -> None:
    """Open and past alarms."""


@alerts.command(name="list")
@_common
@click.option("--open", "open_only", is_flag=True, help="Only those that are not resolved.")
@click.pass_obj
def list_alerts(host: Host, state: Path | None, file: Path | None, open_only: bool) -> Answer:
    """Alarms, the newest first."""
    settings = _settings(host, file, state=state)
    with _record(settings) as conn:
        rows = alert_rows.listed(conn, open_only=open_only)
    found = [
        {**alert_rows.view(row), "onset": _iso(row.onset_ms), "raised": _iso(row.raised_ms), "message": _message(row)}
        for row in rows
    ]
    lines = [f"{d['id']}  {d['raised']}  {d['priority']:<6} {d['state']:<12} {d['kind']}  {d['device']}" for d in found]
    return Answer(data={"alerts": found}, text="\n".join(lines) or "no alarm")


@alerts.command()
@_common
@click.argument("alert")
@click.option("--by", default="command line", help="Who acts on it.")
@click.pass_obj
def ack(host: Host, state: Path | None, file: Path | None, alert: str, by: str) -> Answer:
    """Acknowledge an alarm: somebody acts on it."""
    settings = _settings(host, file, state=state)
    with _record(settings):
        commands.ask(settings.state, "acknowledge", alert, by=by, now_ms=_now_ms())
    return Answer(data={"alert": alert, "acknowledged": True}, text="acknowledged")


@alerts.command()
@_common
@click.argument("alert")
@click.option("--by", default="command line", help="Who saw to it.")
@click.pass_obj
def resolve(host: Host, state: Path | None, file: Path | None, alert: str, by: str) -> Answer:
    """Close an alarm: what raised it has been seen to. One that still holds is raised again."""
    settings = _settings(host, file, state=state)
    with _record(settings):
        commands.ask(settings.state, "resolve", alert, by=by, now_ms=_now_ms())
    return Answer(data={"alert": alert, "resolved": True}, text="resolved")


@alerts.command()
@_common
@click.pass_obj
def test(host: Host, state: Path | None, file: Path | None) -> Answer:
    """Send a test notification through every channel."""
    settings = _settings(host, file, state=state)
    names = [name for name, url in (("first", settings.webhook_first), ("second", settings.webhook_second)) if url]
    if not names:
        raise ConfigError("no_channel", "no channel is set up: set webhook_first in the settings file")
    with _record(settings):
        commands.ask(settings.state, "test", ",".join(names), by="", now_ms=_now_ms())
    return Answer(data={"channels": names}, text=f"a test is on its way to: {', '.join(names)}")


@cli.command()
@_common
@click.argument("device")
@click.option("--yes", is_flag=True, help="Do not ask: the contents are gone for ever.")
@click.pass_obj
def erase(host: Host, state: Path | None, file: Path | None, device: str, yes: bool) -> Answer:
    """Destroy one enrolment's keys and readings; proofs stay checkable."""
    settings = _settings(host, file, state=state)
    with _record(settings) as conn:
        row = devices.find(conn, device)
    if not yes:
        click.confirm(f"Destroy everything that {row.name or device} ever sent?", abort=True, err=True)
    commands.ask(settings.state, "erase", device, by="", now_ms=_now_ms())
    return Answer(
        data={"device": device, "state": "erasing"},
        text="erased here; pending until the device confirms that it has erased its key",
    )


@cli.command(name="evidence")
@_common
@click.option("--message", "which", help="DEVICE/LANE/BOOT/SEQ, the lane alarm or data.")
@click.option("--alert", help="The id of an alarm: the message that raised it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to write the bundle.")
@click.option("--disclose", is_flag=True, help="Include the key that opens this one message.")
@click.option("--ledger-url", help="The ledger's address.")
@click.option("--trust", help="File with the ledger's keys.")
@click.pass_obj
def export_evidence(
    host: Host,
    state: Path | None,
    file: Path | None,
    which: str | None,
    alert: str | None,
    out: Path,
    disclose: bool,
    ledger_url: str | None,
    trust: str | None,
) -> Answer:
    """Write the evidence of one message, or of the message behind an alarm."""
    settings = _settings(host, file, state=state, ledger_url=ledger_url, trust=trust)
    if not settings.ledger_url or not settings.trust:
        raise ConfigError("ledger_missing", "evidence needs --ledger-url and --trust, or both in the settings file")
    if (which is None) == (alert is None):
        raise ConfigError("evidence_of_what", "give either --message or --alert")
    keys_of_log = Trust.from_json(preflight.read(Path(settings.trust), "trust file"))
    with _record(settings) as conn, _record(settings, KEYS_FILE) as secrets:
        device, position = evidence.position_from(which) if which is not None else _raised_by(conn, alert or "")
        lk = None
        if disclose:
            known = keys.load(secrets).get(device)
            if known is None:
                raise NotFound("keys_erased", "the keys of this enrolment were erased; export without --disclose")
            lk = known.lk
        with Client(settings.ledger_url) as client:
            bundle, verdict = evidence.export(conn, client, keys_of_log, device=device, position=position, lk=lk)
    _write(out, bundle)
    text = f"{out}: {len(bundle)} bytes; check it with: vigil verify {out} --trust {settings.trust}"
    return Answer(data={"evidence": str(out), "bytes": len(bundle), **describe(verdict)}, text=text)


@cli.command()
@_common
@click.option("--alert", help="The id of the alarm that it raised; else the newest.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to write the file.")
@click.pass_obj
def ledger_evidence(host: Host, state: Path | None, file: Path | None, alert: str | None, out: Path) -> Answer:
    """Write what the ledger signed that contradicts what it had signed before."""
    settings = _settings(host, file, state=state)
    with _record(settings) as conn:
        raised = None if alert is None else _alert(conn, alert).onset_ms
        found = contradictions.newest(conn, seen_ms=raised)
    _write(out, found.file)
    data = {"evidence": str(out), "bytes": len(found.file), "log": found.origin, "kind": found.kind}
    data |= {"seen": _iso(found.seen_ms)}
    text = f"{out}: {conflict.SAYS[found.kind]}; check it with: vigil verify {out} --trust FILE"
    return Answer(data=data, text=text)


@cli.command(name="check-config")
@_common
@click.pass_obj
def check_config(host: Host, state: Path | None, file: Path | None) -> Answer:
    """The settings as they would be, or what is wrong with them."""
    settings = _settings(host, file, state=state)
    preflight.check(settings)
    found = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()}
    return Answer(data=found, text="\n".join(f"{name} = {value!r}" for name, value in found.items()))


def _alert(conn: sqlite3.Connection, name: str) -> Alert:
    found = alert_rows.find(conn, name)
    if found is None:
        raise NotFound("alert_unknown", f"there is no alert {name}; see `vigil gateway alerts list`")
    return found


def _raised_by(conn: sqlite3.Connection, name: str) -> tuple[str, tuple[int, int, int]]:
    found = _alert(conn, name)
    if found.source is None:
        raise NotFound("alert_without_message", "no message raised this alarm: there is none to prove")
    return found.device, found.source


def _write(out: Path, data: bytes) -> None:
    try:
        out.write_bytes(data)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot write {out}: {error.strerror}") from error


def _message(row: Alert) -> str | None:
    if row.source is None:
        return None
    lane, boot, seq = row.source
    return f"{row.device}/{topics.LANE_NAMES[lane]}/{boot}/{seq}"


def _iso(at_ms: int) -> str:
    if at_ms >= ISO_MAX_MS:
        return f"{at_ms} ms after 1970"  # a device may say any number
    return (
        datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
