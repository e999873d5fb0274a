"""A flood of TLS handshakes without a certificate, as a process of its own: `python -m tests.support.handshakes PORT SECONDS`."""

import contextlib
import socket
import ssl
import sys
import threading
import time

THREADS = 24
ADDRESSES = 4  # of loopback, from which they come


def flood(port: int, ends_s: float, address: str, counts: list[int]) -> None:
    """One handshake after another."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while time.monotonic() < ends_s:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), source_address=(address, 0)) as plain,
            context.wrap_socket(plain) as wrapped,
        ):
            counts.append(1)
            wrapped.recv(1)


def main() -> None:
    """Flood, and say how many handshakes there were."""
    port, ends_s = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
    counts: list[int] = []
    threads = [
        threading.Thread(target=flood, args=(port, ends_s, f"127.0.0.{2 + number % ADDRESSES}", counts))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(counts))


if __name__ == "__main__":
    main()
