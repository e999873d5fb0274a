"""A status list of a million places: what it costs to suspend somebody and bring the list out, signed and on disk, with what the
log is told. The baseline is GZIP of the same bits and nothing else.
"""

import gzip
import statistics
import time
from random import Random

from bench._credentials import Place, opened
from ledger.credentials import model
from ledger.credentials.issuing import Issuer
from ledger.credentials.simulate import town
from ledger.credentials.simulate.world import STATE
from ledger.credentials.vc import jcs, status

Row = dict[str, object]
SIZE = 1_000_000
ISSUED, SUSPENDED, ROUNDS = 1500, 1000, 40


def run() -> list[Row]:
    """Issue, suspend most, then one after the other; about twenty seconds."""
    with opened() as place:
        return _measured(place)


def _measured(place: Place) -> list[Row]:
    (board,) = place.town.world.of(STATE)
    institution, person, clock = place.town.institutions[board.n], place.town.world.people[0], place.town.clock
    folder = place.folder / "large"
    folder.mkdir()
    issuer = Issuer.open(
        folder,
        say=institution.say,
        base=lambda: institution.address,
        log=town.ORIGIN,
        party=institution.name,
        now_ms=clock,
        random_bytes=Random(7).randbytes,
        web=board.did,
        size=SIZE,
    )
    draft = town.types.draft("StateLicence", town.fields(person, "StateLicence", board.state, board.name, clock()))
    made = [issuer.issue(draft, holder=place.key.public) for _ in range(ISSUED)]
    for each in made[:SUSPENDED]:
        issuer.change(each.id, "suspend", reason="benchmark")
    issuer.publish()
    took_s = []
    for each in made[SUSPENDED : SUSPENDED + ROUNDS]:
        clock.at_ms += 1000
        begun_s = time.perf_counter()
        issuer.change(each.id, "suspend", reason="benchmark")
        issuer.publish()
        took_s.append(time.perf_counter() - begun_s)
    newest = jcs.parse(issuer.status_list(_suspensions(made[0].raw)), size_max=status.SIGNED_MAX)
    bits = gzip.compress(bytes(SIZE // 8)), status.read_list(newest).bits
    plain_s = _plain_s(bits[1])
    issuer.close()
    took = statistics.median(took_s)
    row = {"what": f"suspend one and bring both lists out, {SIZE:,} places", "value": took * 1e3, "unit": "ms"}
    return [
        {**row, "ratio": took / plain_s, "baseline": "GZIP of the bits of both lists"},
        {"what": "  the slowest", "value": max(took_s) * 1e3, "unit": "ms"},
    ]


def _suspensions(raw: bytes) -> bytes:
    """The name of the list of suspensions that a credential points to."""
    from ledger.credentials.vc import secured

    return bytes.fromhex(secured.read(raw).status[model.SUSPENSION].url.rpartition("/")[2])


def _plain_s(bits: status.Bits) -> float:
    found = bytearray(SIZE // 8)
    for index in range(SIZE):
        if bits[index]:
            found[index >> 3] |= 0x80 >> (index & 7)
    begun_s = time.perf_counter()
    for _ in range(10):
        gzip.compress(bytes(found), 6, mtime=0)
        gzip.compress(bytes(SIZE // 8), 6, mtime=0)
    return (time.perf_counter() - begun_s) / 10
