"""A hiring file of twelve credentials, end to end: opened, asked, presented from a wallet, all of it judged with every step, and
decided, on disk. Asked for: under one second. The baseline is bare PyNaCl verification of as many signatures.
"""

import contextlib
import statistics
import time

from bench._credentials import Place, bare_per_s, opened, p99
from ledger.credentials.hiring.posts import BREAK_GLASS, Need, Post
from ledger.credentials.simulate.forging import shown_by
from ledger.credentials.simulate.hospital import Hospital
from ledger.credentials.simulate.world import HOSPITAL, House, Person

Row = dict[str, object]
KINDS = (
    *("Degree", "StateLicence", "BoardCertification", "DEARegistration", "ImmunisationRecord"),
    *("EmploymentRecord", "Privilege", "PrimarySourceVerification", *("Training",) * 4),
)
ROUNDS = 60


def run() -> list[Row]:
    """Sixty files, about twenty seconds."""
    with opened() as place:
        house = place.town.world.of(HOSPITAL)[0]
        raws = _issued(place, house, place.town.world.people[0])
        with contextlib.closing(_hospital(place, house)) as hospital:
            took_s = [_hired(place, hospital, raws) for _ in range(ROUNDS)]
    took = statistics.median(took_s)
    bare_s = 2 * len(raws) / bare_per_s()
    row = {"what": f"a hiring file of {len(raws)} credentials, end to end", "value": took * 1e3, "unit": "ms"}
    return [
        {**row, "ratio": took / bare_s, "baseline": f"bare PyNaCl verification of {2 * len(raws)} signatures"},
        {"what": "  p99", "value": p99(took_s) * 1e3, "unit": "ms"},
    ]


def _issued(place: Place, house: House, person: Person) -> list[bytes]:
    raws = []
    for kind in KINDS:
        by = place.town.world.who_may(kind, house.state)[0]
        where = by.covers(kind)
        raws.append(place.town.institutions[by.n].issue(person, kind, where, place.key.public).raw)
    place.settle()
    return raws


def _hospital(place: Place, house: House) -> Hospital:
    needs = tuple(
        Need(
            name=f"{kind}-{n}",
            type=kind,
            label=kind,
            checked_ms=120 * 86_400_000 if kind == "StateLicence" else None,
        )
        for n, kind in enumerate(KINDS)
    )
    folder = place.folder / "hiring"
    folder.mkdir()
    post = Post(name="post", label="Post", needs=needs, grants={BREAK_GLASS: (needs[1].name,)})
    return Hospital(
        house,
        folder,
        place.library.registry,
        place.verifier,
        dict.fromkeys(("nurse", "physician", "pharmacist"), post),
        follow=place.library.follow,
        now_ms=place.town.clock,
        random_bytes=place.town.institutions[house.n].random.randbytes,
    )


def _hired(place: Place, hospital: Hospital, raws: list[bytes]) -> float:
    person, begun_s = place.town.world.people[0], time.perf_counter()
    hospital.open(person)
    for raw in raws:
        asked = hospital.ask()
        shown = shown_by(place.key, raw, place.town.clock, nonce=asked.nonce, audience=asked.audience)
        codes = hospital.take(person.n, shown, asked.nonce)
        if any(codes):
            raise SystemExit(f"a credential was refused, {codes}: no figure")
    if not hospital.decide(person.n):
        raise SystemExit("nobody was hired: no figure")
    took_s = time.perf_counter() - begun_s
    hospital.leave(person.n)
    return took_s
