"""The event handlers of other libraries, on the protocols of propchange.

Each module has the names of one library, for programs that are written for it:
:mod:`propchange.dropin.async_upnp_client`, :mod:`propchange.dropin.soco`. A module is imported only
by a program that uses it, and needs its library.
"""
