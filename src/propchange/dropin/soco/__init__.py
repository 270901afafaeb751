"""SoCo's asyncio events on propchange: call :func:`install` before ``soco.events_asyncio`` is used.

    import propchange.dropin.soco
    propchange.dropin.soco.install()

    import soco
    from soco import events_asyncio
    soco.config.EVENTS_MODULE = events_asyncio

``soco.events_asyncio`` stays SoCo's module; :func:`install` puts its ``Subscription``,
``event_listener`` and ``subscriptions_map`` in place. Events are read by SoCo's own
``parse_event_xml``. ``soco.events`` (threads) and ``soco.events_twisted`` are not touched.

What the program sees, where SoCo's own events would be deaf from then on:

=============================================  ====================================================
the player                                     with ``auto_renew``
=============================================  ====================================================
restarts, refuses the renewal, loses events    a fresh subscription at once: another ``sid``, and an
                                               event with the full state. The program does nothing
is away, and back before 85 % of the grant     the same
is away for longer                             at 85 % of the last grant, when SoCo would renew,
                                               ``auto_renew_fail`` is called once. ``is_subscribed``
                                               is False and ``time_left`` 0. Three programs follow:
- and the program unsubscribes                 it is ended, as with SoCo; Home Assistant does this
- and the program subscribes by a new object   the old object is ended: no event comes twice
- and the program keeps the object             events come again on it once the player is back;
                                               ``is_subscribed`` is True again
is away, and ``auto_renew_fail`` is not set    the last row; ``is_subscribed`` stays True
=============================================  ====================================================

Without ``auto_renew`` a subscription ends after its ``requested_timeout``, a day if None, unless
the program calls ``renew()``. Until then it is kept as above: ``auto_renew_fail`` is called when a
``renew()`` of the program fails, which also raises. A later ``renew()`` may succeed.
"""

from propchange.dropin.soco.installation import install, uninstall

__all__ = ["install", "uninstall"]
