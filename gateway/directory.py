"""The enrolled devices in memory: made from the stores at the start, and again whenever another process changed them."""

import sqlite3
from collections.abc import Mapping

from gateway.admission import Bucket, Member
from gateway.positions import Intervals
from gateway.store import devices, keys, messages
from gateway.store.keys import EnrolmentKeys
from protocol import topics
from protocol.keys import PublicKey

CONNECTS = frozenset({"enrolled", "active", "quarantined", "erasing"})  # states whose certificate is let in
ERASED_KEY = bytes(32)  # what opens the answer of a device that has erased its link key: nothing is secret in it


class Directory:
    """Members by device and by key. rates: (data, alarm) as (tokens a second, burst)."""

    def __init__(self, *, data_rate: tuple[float, float], alarm_rate: tuple[float, float]) -> None:
        self._data_rate, self._alarm_rate = data_rate, alarm_rate
        self.members: dict[str, Member] = {}
        self.rows: dict[str, devices.DeviceRow] = {}
        self.secrets: Mapping[str, EnrolmentKeys] = {}
        self.lanes: dict[str, int] = {}  # lane of every up-topic of every member
        self._by_key: dict[bytes, str] = {}

    def reload(self, record: sqlite3.Connection, secrets: sqlite3.Connection) -> set[str]:
        """Read the stores again; the devices that came, went or changed. Positions are read for new ones only: those of
        known ones are ahead of what another process could have read."""
        self.secrets = keys.load(secrets)
        found = {row.device: row for row in devices.load(record)}
        changed = {device for device in found.keys() | self.rows.keys() if found.get(device) != self.rows.get(device)}
        for device, row in found.items():
            if row.state == "erasing" and device not in self.secrets:
                self.secrets = {**self.secrets, device: EnrolmentKeys(lk=ERASED_KEY, store_key=ERASED_KEY)}
        self.rows = found
        fresh = {device for device in found if device in self.secrets and self._differs(found[device])}
        covered = self._covered(record, {found[device].row_id for device in fresh}) if fresh else {}
        for device in list(self.members):
            if device not in found or device not in self.secrets:
                del self.members[device]
        for device in fresh:
            self.members[device] = self._member(found[device], covered.get(found[device].row_id, {}))
        for device, member in self.members.items():
            member.state = found[device].state
        self.lanes = {topics.up(device, lane): lane for device in self.members for lane in topics.LANES.values()}
        self._by_key = {member.key.x: device for device, member in self.members.items()}
        return changed

    def device_of(self, public_key: bytes) -> str | None:
        """The device whose active key this is, when its connection is welcome."""
        device = self._by_key.get(public_key)
        return device if device is not None and self.members[device].state in CONNECTS else None

    def welcome(self, device: str) -> bool:
        """Whether a connection of `device` is welcome."""
        member = self.members.get(device)
        return member is not None and member.state in CONNECTS

    def _differs(self, row: devices.DeviceRow) -> bool:
        member = self.members.get(row.device)
        secret = self.secrets[row.device]
        return member is None or (member.key.x, member.link_id, member.lk) != (row.key, row.link, secret.lk)

    def _member(self, row: devices.DeviceRow, covered: dict[tuple[int, int], list[tuple[int, int]]]) -> Member:
        key = PublicKey(row.key)
        member = Member(
            row=row.row_id,
            device=row.device,
            key=key,
            kid=key.kid,
            state=row.state,
            link_id=row.link,
            lk=self.secrets[row.device].lk,
            data=Bucket(rate_per_s=self._data_rate[0], burst=self._data_rate[1]),
            alarms=Bucket(rate_per_s=self._alarm_rate[0], burst=self._alarm_rate[1]),
        )
        member.covered = {place: Intervals(ranges) for place, ranges in covered.items()}
        member.intervals = sum(map(len, member.covered.values()))
        member.floor = max((boot for _, boot in covered), default=0)
        return member

    @staticmethod
    def _covered(record: sqlite3.Connection, rows: set[int]) -> dict[int, dict[tuple[int, int], list[tuple[int, int]]]]:
        found: dict[int, dict[tuple[int, int], list[tuple[int, int]]]] = {}
        for row, lane, boot, first, last in messages.covered(record):
            if row in rows:
                found.setdefault(row, {}).setdefault((lane, boot), []).append((first, last))
        return found
