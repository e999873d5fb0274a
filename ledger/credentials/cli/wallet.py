"""`vigil credentials wallet`: a holder's own wallet, in a folder of the holder's own."""

import datetime
from pathlib import Path

import click
import httpx

from ledger.cli.common import now_ms, read, write
from ledger.credentials import paper
from ledger.credentials.vc import secured
from ledger.credentials.wallet import Kept, Wallet
from protocol import base64text
from protocol.answer import Answer, Host
from protocol.errors import ConfigError

TIMEOUT_S = 20.0
_WALLET = click.option(
    "--wallet",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("wallet"),
    show_default=True,
    help="The wallet's folder.",
)


@click.group()
def wallet() -> None:
    """A wallet for credentials: keys and credentials in one folder, for their holder alone."""


@wallet.command()
@_WALLET
@click.pass_obj
def init(host: Host, folder: Path) -> Answer:
    """Make a wallet, or find it again, and say the holder's name."""
    found = Wallet.open(folder, now_ms=now_ms)
    return Answer(data={"did": found.did, "wallet": str(folder)}, text=f"{found.did}\nissuers issue to this name")


@wallet.command()
@_WALLET
@click.argument("offer")
@click.option("--code", help="The number that the issuer told the holder.")
@click.pass_obj
def receive(host: Host, folder: Path, offer: str, code: str | None) -> Answer:
    """Take up an issuer's OFFER (the link of its QR code), or put a credential FILE into the wallet."""
    found = Wallet.open(folder, now_ms=now_ms)
    if Path(offer).is_file():
        kept = _of_file(read(Path(offer)))
        found.keep(kept)
    else:
        with _web() as web:
            kept = found.receive(offer, web, tx_code=code)
    at = len(found.kept) - 1
    return Answer(data={"at": at, **_said(kept)}, text=f"credential {at}: {_said(kept)['type']}")


@wallet.command()
@_WALLET
@click.pass_obj
def show(host: Host, folder: Path) -> Answer:
    """List the credentials in the wallet."""
    found = Wallet.open(folder, now_ms=now_ms)
    rows = [{"at": at, **_said(kept)} for at, kept in enumerate(found.kept)]
    lines = [f"{row['at']:>3}  {row['type']}  from {row['issuer']}  {row['format']}" for row in rows]
    return Answer(data={"did": found.did, "credentials": rows}, text="\n".join(lines) or "the wallet is empty")


@wallet.command()
@_WALLET
@click.argument("asked", required=False)
@click.option("--decline", is_flag=True, help="Say no.")
@click.option("--credential", "at", type=int, help="Instead of answering a link: present this one as a file.")
@click.option("--nonce", help="With --credential: the verifier's question.")
@click.option("--audience", help="With --credential: the verifier's name.")
@click.option("--out", type=click.Path(path_type=Path), help="With --credential: the file to write.")
@click.pass_obj
def present(
    host: Host,
    folder: Path,
    asked: str | None,
    decline: bool,
    at: int | None,
    nonce: str | None,
    audience: str | None,
    out: Path | None,
) -> Answer:
    """Answer a verifier's link ASKED, or sign a presentation of one credential into a file, for who cannot be reached."""
    found = Wallet.open(folder, now_ms=now_ms)
    if asked is None:
        if at is None or nonce is None or audience is None or out is None:
            raise ConfigError("present_what", "give a verifier's link, or --credential, --nonce, --audience and --out")
        if not 0 <= at < len(found.kept):
            raise ConfigError("wallet_place", "see `vigil credentials wallet show` for the numbers")
        write(out, found.presentation(at, nonce=nonce, audience=audience))
        return Answer(data={"out": str(out)}, text=f"the presentation is in {out}, good for five minutes")
    with _web() as web:
        request = found.asked(asked, web)
        line = found.decline(request, web) if decline else found.present(request, web)
    data = {"verifier": line.name, "purpose": line.purpose, "types": list(line.types), "outcome": line.outcome}
    said = "said no" if decline else f"shown: {', '.join(line.types)}"
    return Answer(
        data=data, text=f"{line.name} asked for {line.purpose!r}; {said}; outcome {line.outcome or 'not said'}"
    )


@wallet.command()
@_WALLET
@click.pass_obj
def history(host: Host, folder: Path) -> Answer:
    """List who asked what, and what was shown; the list is the holder's alone."""
    found = Wallet.open(folder, now_ms=now_ms)
    rows = [
        {
            "at_ms": each.at_ms,
            "verifier": each.name,
            "purpose": each.purpose,
            "types": list(each.types),
            "outcome": each.outcome,
        }
        for each in found.history
    ]
    lines = [
        f"{_when(each.at_ms)}  {each.name}  {each.purpose}  {', '.join(each.types) or 'declined'}"
        for each in found.history
    ]
    return Answer(data={"history": rows}, text="\n".join(lines) or "nobody has asked yet")


def _of_file(raw: bytes) -> Kept:
    held = secured.read(paper.carried(raw.decode()) if raw.startswith(paper.PREFIX.encode()) else raw)
    text = base64text.encode_url(held.raw) if held.format == secured.COSE else held.raw.decode("utf-8", "replace")
    return Kept(format=held.format, text=text, issuer="", received_ms=now_ms())


def _said(kept: Kept) -> dict[str, object]:
    found = kept.read()
    return {"type": found.type, "issuer": found.issuer, "format": found.format, "until_ms": found.until_ms}


def _web() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, headers={"accept-encoding": "identity"})


def _when(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).isoformat(timespec="minutes")
