"""The exit statuses, the environment variables and examples of the command, for its help and its
manual."""

from __future__ import annotations

from typing import Final

EXIT_STATUSES: Final = (
    ("0", "The command did its work, or a signal ended a command that has no other end."),
    (
        "1",
        (
            "The network, the device or this machine prevented it: no device was found, no service "
            "can be subscribed to, no events arrive (watch --diagnose), the broker refuses the "
            "bridge, the output cannot be written."
        ),
    ),
    (
        "2",
        (
            "The command line or a file on it is wrong; of call also: the device has no such "
            "service, action, argument or value. Nothing was sent."
        ),
    ),
    ("3", "The device answered call with a fault."),
    ("130", "Ctrl-C (SIGINT) ended a command before its own end, such as --count or --seconds."),
    ("143", "The same with SIGTERM; 129 with SIGHUP."),
)
"""Each exit status, and what it means."""

ENVIRONMENT: Final = (
    ("NO_COLOR", "If it is set and not empty, nothing is printed in colour."),
    ("FORCE_COLOR", "If it is set and not empty, a terminal gets colours that TERM denies."),
    ("TERM", "With dumb or unknown, watch --all prints lines instead of a table, without colours."),
    ("PROPCHANGE_MQTT_USERNAME", "The name with which bridge logs in at its broker."),
    ("PROPCHANGE_MQTT_PASSWORD", "The password for it. It is given in no other way."),
    ("PROPCHANGE_NATS_USER", "The name with which bridge --nats logs in."),
    ("PROPCHANGE_NATS_PASSWORD", "The password for it. It is given in no other way."),
    ("PROPCHANGE_NATS_TOKEN", "The token with which bridge --nats logs in, instead of a name."),
    ("COLUMNS", "The width of the lines for people, instead of the width of the terminal."),
)
"""Each environment variable that the command reads, and what it does."""

EXAMPLES: Final = (
    ("propchange discover", "Print the devices on the network."),
    ("propchange watch --all", "Print the events of all devices, in a table."),
    (
        "propchange watch http://192.168.1.20:1400/description.xml",
        "Print the events of one device.",
    ),
    (
        "propchange watch --diagnose http://192.168.1.20:1400/description.xml",
        "Say whether its events arrive, why not, and what to do.",
    ),
    (
        (
            "propchange call http://192.168.1.20:1400/description.xml RenderingControl SetVolume "
            "InstanceID=0 Channel=Master DesiredVolume=13"
        ),
        "Set the volume of a media renderer.",
    ),
    (
        "propchange bridge --mqtt mqtt://broker.example --home-assistant",
        "Send the states of all devices to a broker, and offer them to Home Assistant.",
    ),
    ("propchange host lamp.toml", "Host the device that lamp.toml describes."),
    ("propchange demo --lan", "Host two simulated devices that other machines find."),
)
"""Command lines, and what each does."""
