"""The listener's bounds on sockets, buffers and time, and the names under which it counts what went wrong. What one
connection may do is in `session`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLimits:
    """Each with the reason for its default."""

    sockets_per_address: int = 32  # not yet open connections: 16 devices behind one address that all start at once
    sockets: int = 512  # the same over all addresses; a handshake in progress holds about 50 KiB
    backlog: int = 128  # connections that the kernel holds before we accept them
    handshake_s: float = 5.0  # for TLS
    linger_s: float = 2.0  # for a farewell to be read, then the socket is cut
    read_bytes: int = 16_384  # taken from a socket at once: one TLS record, 32 small messages
    write_buffer_bytes: int = 65_536  # a peer that reads more slowly than this fills is dropped
    down_buffer_bytes: int = 32_768  # beyond it a QoS 0 message is not sent: its row is sent again later
    pause_s: float = 5.0  # longer, and paho gives up on an unanswered PINGREQ
    pause_rest_s: float = 1.0  # between two pauses, so that a PINGREQ gets through
    tick_s: float = 0.5  # how late a deadline may be noticed
    accept_again_s: float = 0.2  # after accept failed, say for want of file descriptors


ENDPOINT_CODES = frozenset(
    "accept_failed broker_lost broker_refused broker_subscription_refused closed_authentication_method"
    " closed_by_device closed_by_gateway closed_chatter closed_client_id closed_lost"
    " closed_mqtt_length closed_mqtt_packet closed_mqtt_property closed_mqtt_short closed_mqtt_text"
    " closed_no_connect closed_not_mqtt closed_not_yours closed_packet_id closed_protocol_error closed_qos_2"
    " closed_receive_maximum closed_retain closed_silent closed_slow_reader closed_stopping closed_subscription_id"
    " closed_taken_over closed_too_large closed_topic_alias closed_trickle closed_version dropped_down"
    " refused_certificate refused_sockets refused_sockets_address refused_subscription refused_tls refused_topic".split()
)
"""Why the listener refuses or closes, and what becomes of a broker's connection: the closed set of a metric's label."""
