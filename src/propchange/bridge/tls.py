"""TLS of the connections to a broker or to NATS, from the files of the configuration."""

from __future__ import annotations

import ssl

from propchange.bridge.configuration import ConfigurationError


def tls_context(
    table: str, ca_file: str | None, certificate: str | None, key: str | None
) -> ssl.SSLContext:
    """The context for the files that ``[table]`` names. ``ca_file`` has the certificates that are
    trusted; None for those of the system. ``certificate`` and ``key`` are those of this client.
    Raises ConfigurationError if a file cannot be read."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"[{table}] ca_file {ca_file!r}: {error}") from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise ConfigurationError(
                f"[{table}] certificate {certificate!r} with the key {key or certificate!r}: "
                f"{error}"
            ) from error
    return context
