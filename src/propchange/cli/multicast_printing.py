"""Prints the multicast events of devices, for ``propchange watch --multicast``."""

from __future__ import annotations

from propchange import MulticastEvent, PropchangeError, RemoteDevice, RemoteService
from propchange.asyncio.multicast import MulticastEvents
from propchange.cli.event_printer import EventPrinter
from propchange.cli.lines import Source
from propchange.cli.names import Names


async def print_multicast(
    printer: EventPrinter, stream: MulticastEvents, about: Source | None = None
) -> None:
    """Print the events of ``stream`` until it ends. ``about`` is the device that it is of; None:
    all. A stream that cannot be entered gets a line with the reason, and no events are printed."""
    names = Names()
    try:
        async with stream:
            async for update in stream.updates():
                source = _source_of(names, update.service)
                if isinstance(update, MulticastEvent):
                    for problem in update.problems:
                        printer.problem(source, problem)
                    printer.multicast(source, update)
                else:
                    missed = f"{update.count} multicast events before SEQ {update.seq}"
                    printer.status(source, "multicast-missed", f"{missed} did not come")
    except (PropchangeError, RuntimeError) as error:
        printer.status(about, "failed", f"no multicast events: {error}")


def _source_of(names: Names, service: RemoteService) -> Source:
    wanted = service.description.udn, service.service_id
    assert isinstance(service.device, RemoteDevice)
    sources = names.of(service.device).items()
    return next(
        source for each, source in sources if (each.description.udn, each.service_id) == wanted
    )
