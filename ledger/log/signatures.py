"""A process that verifies signatures and does nothing else (`python -m ledger.log.signatures`).

Threads would wait for Python's lock after each signature, and the thread that holds it would wait for them. The process reads
jobs on its standard input and ends when its input does, so it outlives no ledger.
"""

import signal
import sys

from protocol import signatures

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the ledger's to answer
    signatures.serve(sys.stdin.buffer, sys.stdout.buffer)
