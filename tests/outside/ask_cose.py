"""Runs in .outside/cose: what cwt and pycose make of COSE_Sign1 objects, all in hexadecimal.

Their cbor2 is older than ours, which is the point: nothing of ours is imported.
"""

import json
import sys

import cwt
from cwt.exceptions import VerifyError
from pycose.headers import KID, Algorithm
from pycose.keys import OKPKey
from pycose.messages import Sign1Message


def ask_cwt(case):
    """[the payload, the key's name, the algorithm], or None when the signature does not hold."""
    key = cwt.COSEKey.from_pem(case["pem"], kid=bytes.fromhex(case["kid"]))
    detached = bytes.fromhex(case["detached"]) if case["detached"] else None
    try:
        protected, _, payload = cwt.COSE.new().decode_with_headers(
            bytes.fromhex(case["raw"]), key, external_aad=bytes.fromhex(case["aad"]), detached_payload=detached
        )
    except VerifyError:
        return None
    return [payload.hex(), protected[4].hex(), protected[1]]


def ask_pycose(case):
    """The same."""
    message = Sign1Message.decode(bytes.fromhex(case["raw"]))
    message.external_aad = bytes.fromhex(case["aad"])
    message.key = OKPKey(crv="ED25519", x=bytes.fromhex(case["x"]))
    detached = bytes.fromhex(case["detached"]) if case["detached"] else None
    if not message.verify_signature(detached_payload=detached):
        return None
    payload = message.payload if detached is None else detached
    return [payload.hex(), message.phdr[KID].hex(), message.phdr[Algorithm].identifier]


LIBRARIES = {"cwt": ask_cwt, "pycose": ask_pycose}
question = json.load(sys.stdin)
json.dump([LIBRARIES[question["library"]](case) for case in question["cases"]], sys.stdout)
