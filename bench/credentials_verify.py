"""Credentials a second that a hospital judges with every step, on one core: the signature of the issuer and of the holder, the
ledger's word, both status lists, the content. By form. The baseline is bare PyNaCl verification of the same run.
"""

import time

from bench._credentials import Place, bare_per_s, opened, p99
from ledger.credentials.simulate import town
from ledger.credentials.simulate.forging import shown_by
from ledger.credentials.simulate.world import STATE
from ledger.credentials.vc import secured

Row = dict[str, object]
COUNT = 500  # credentials of each form


def run() -> list[Row]:
    """Three forms, about fifteen seconds."""
    with opened() as place:
        return [row for form in secured.FORMATS for row in _form(place, form)]


def _form(place: Place, form: str) -> list[Row]:
    (board,) = place.town.world.of(STATE)
    institution, person = place.town.institutions[board.n], place.town.world.people[0]
    draft = town.types.draft(
        "StateLicence", town.fields(person, "StateLicence", board.state, board.name, place.town.clock())
    )
    raws = [institution.issuer.issue(draft, holder=place.key.public, format=form).raw for _ in range(COUNT)]
    institution.publish(again=True)
    place.settle()
    took_s, before = [], bare_per_s()
    for raw in raws:
        asked = place.verifier.request()
        shown = shown_by(place.key, raw, place.town.clock, nonce=asked.nonce, audience=asked.audience)
        begun_s = time.perf_counter()
        answer = place.verifier.answered(shown, nonce=asked.nonce)
        took_s.append(time.perf_counter() - begun_s)
        if not answer.valid:
            raise SystemExit("a credential was refused: no figure")
    rate, bare = COUNT / sum(took_s), (before + bare_per_s()) / 2
    row = {"what": f"credentials with every step, {form}", "value": rate, "unit": "credentials/s"}
    return [
        {**row, "ratio": rate / bare, "baseline": "bare PyNaCl verify/s of the same run"},
        {"what": "  p99", "value": p99(took_s) * 1e3, "unit": "ms"},
    ]
