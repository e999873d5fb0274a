"""Where the page may be bound: to this machine only, as long as it has no sign-in."""

from ipaddress import ip_address

from protocol.errors import ConfigError


def loopback(host: str) -> str:
    """`host` as an address of this machine. Raises ConfigError page_not_loopback for any other."""
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigError("page_not_loopback", "the page has no sign-in yet: bind it to 127.0.0.1 or ::1")
    return str(address)
