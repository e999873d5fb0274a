"""The formats that devices, gateways, ledgers and auditors share: bytes to values and back, nothing else.

Pure: nothing here reads a clock, a file, a socket or a database, and nothing here imports another room.
"""
