"""schemathesis, which is not ours, reads ledger/http/openapi.json and asks a running ledger everything that it can think of."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from protocol import cbor
from tests.support import ledgers, running
from tests.support.outside import installed

pytestmark = pytest.mark.outside
ROOT = Path(__file__).parent
SEED, EXAMPLES, SECONDS, KILLED_AFTER_S = 20_261_125, 10, 25, 90
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance"
)
PHASES = "examples,coverage,fuzzing"


def bodies(folder: Path, state: Path) -> Path:
    """Statements for it to send: some new, one that is there, one that is refused; and batches of them."""
    raws = [ledgers.anchor(n) for n in range(1000, 1040)] + [ledgers.admission(state), ledgers.enrolment(1)]
    raws.append(ledgers.anchor(1, ledgers.STRANGER))
    batches = [cbor.encode(raws[place : place + 3]) for place in range(0, len(raws), 3)]
    file = folder / "bodies.json"
    statements = [raw.hex() for raw in raws]
    types = {"application/cose": statements, "application/scitt-statement+cose": statements}
    file.write_text(json.dumps({**types, "application/cbor": [body.hex() for body in batches]}))
    return file


def test_a_running_ledger_answers_as_its_interface_says(tmp_path: Path) -> None:
    program, state = installed("schemathesis", "bin/schemathesis"), tmp_path / "ledger"
    running.filled(state, 300)
    with running.ledger(state) as found:
        ran = subprocess.run(
            [
                str(program),
                *("run", f"{found.url}/openapi.json", "--url", found.url, "--checks", CHECKS, "--phases", PHASES),
                *("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS)),
                *("--continue-on-failure", "--max-redirects", "0", "--request-timeout", "10", "--warnings", "off"),
                "--no-color",
            ],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
                "VIGIL_BODIES": str(bodies(tmp_path, state)),
            },
            capture_output=True,
            text=True,
            timeout=KILLED_AFTER_S,
            check=False,
        )
    told = ran.stdout + ran.stderr
    assert ran.returncode == 0, told[-6000:]
    document = json.loads((ROOT.parents[1] / "ledger" / "http" / "openapi.json").read_text())
    operations = sum(len(item) for item in document["paths"].values()) - 1  # it does not ask for the document again
    assert re.search(rf"Tested: {operations}\b", told), told[-3000:]
    made = re.search(r"(\d+) generated, (\d+) passed", told)
    assert made and made[1] == made[2] and int(made[1]) > 500, told[-3000:]
