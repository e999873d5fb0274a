"""What schemathesis cannot make up by itself: bodies of signed statements. Loaded by it, with nothing of ours beside it.

VIGIL_BODIES names a JSON file: by media type, bodies in hex that a ledger takes.
"""

import json
import os
from pathlib import Path

import schemathesis
from hypothesis import strategies

for media, bodies in json.loads(Path(os.environ["VIGIL_BODIES"]).read_text()).items():
    given = strategies.sampled_from([bytes.fromhex(body) for body in bodies])
    damaged = strategies.builds(lambda body, cut: body[:cut], given, strategies.integers(0, 400))
    schemathesis.openapi.media_type(media, given | damaged | strategies.binary(max_size=400))
