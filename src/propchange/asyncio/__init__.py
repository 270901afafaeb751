"""The asyncio runtime: sockets and time around the protocols of the core."""
