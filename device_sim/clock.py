"""Whether a time source agreed with this machine's clock lately: the kernel knows it from whoever keeps the clock.

Source: adjtimex(2), whose reading needs no privilege. A hardened service (systemd's ProtectClock=) may not even read it; then the
mark that systemd-timesyncd leaves is what there is to go by. Without either, nobody agreed.
"""

import ctypes
from pathlib import Path

STRUCT_BYTES = 512  # struct timex has 208 on 64-bit Linux; zeroed, its modes say "read only"
TIME_ERROR = 5  # "not synchronized": nobody keeps the clock, or not any more
MARK = Path("/run/systemd/timesync/synchronized")


def synced() -> bool:
    """Whether the clock is kept by a time source."""
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(STRUCT_BYTES))
    except (AttributeError, OSError):
        state = -1
    return state < TIME_ERROR if state >= 0 else MARK.exists()
