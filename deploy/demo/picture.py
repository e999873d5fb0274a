"""What is known of the running demo: one value that the tasks fill in and the view draws."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LINES_KEPT = 8  # of what happened, the latest are shown


@dataclass(slots=True)
class HomePicture:
    """One home. state: starting, pairing, online, offline, done or failed; device: its id, once paired; stored:
    messages that the gateway keeps; events: the script's, as they happened; alarm: the latest."""

    name: str
    shown: str
    state: str = "starting"
    device: str = ""
    stored: int = 0
    alarm: str = ""
    events: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Picture:
    """The whole demo. phase: one line for people; page: its address; left_s: until the devices stop; anchored: messages
    whose anchor the ledger has receipted; hear: what is done with each line that is told."""

    homes: dict[str, HomePicture]
    phase: str = "starting"
    page: str = ""
    left_s: float = 0.0
    stored: int = 0
    anchored: int = 0
    happened: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    hear: Callable[[str], None] = lambda line: None

    def tell(self, line: str) -> None:
        """Say that something happened."""
        self.happened.append(line)
        self.hear(line)
