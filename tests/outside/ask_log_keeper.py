"""Runs in .outside/tlog: tlog-scales keeps a log, and aics-witness's client asks a witness to cosign it. Nothing of ours."""

import json
import sys
from pathlib import Path

from aics_witness.feeder import WitnessAhead, WitnessClient, WitnessRejected, merge_cosignatures
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tlog_scales.signing import PlainEd25519Signer
from tlog_scales.writer import TilesWriter


def submitted(client, keeper, note):
    """The cosigned checkpoint, or why there is none."""

    def proof(old, new):
        return keeper.reader.get_consistency_proof(old, new).node_hashes

    try:
        return {"note": merge_cosignatures(note, client.submit(note, proof)).decode()}
    except WitnessAhead as error:
        return {"ahead": error.known_size}
    except WitnessRejected as error:
        return {"status": error.status}


def answers(question):
    """One for each step: {"log": which copy of the log grows, "leaves": by how many, "stale": whether the last note is sent again}."""
    signer = PlainEd25519Signer(
        question["origin"], Ed25519PrivateKey.from_private_bytes(bytes.fromhex(question["seed"]))
    )
    keepers, notes, found = {}, {}, []
    with WitnessClient(question["url"], question["witness"]) as client:
        for step in question["steps"]:
            name = step["log"]
            if name not in keepers:
                keepers[name] = TilesWriter.create(Path(question["folder"]) / name, question["origin"])
            keeper = keepers[name]
            for place in range(keeper.size, keeper.size + step["leaves"]):
                keeper.add_leaf(f"{step['text']} {place}".encode())
            keeper.commit([signer])
            notes[name, keeper.size] = (keeper.root / "checkpoint").read_bytes()
            size = step.get("show", keeper.size)
            found.append(submitted(client, keeper, notes[name, size]))
    return found


json.dump(answers(json.load(sys.stdin)), sys.stdout)
