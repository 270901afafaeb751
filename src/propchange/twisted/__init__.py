"""Twisted: Cohen3's events on the rules of the core, and services and control points without it."""

from __future__ import annotations

from propchange.twisted.control_point import ControlPoint
from propchange.twisted.installing import install
from propchange.twisted.remote import RemoteDevice, RemoteService
from propchange.twisted.service import Service
from propchange.twisted.site import Site
from propchange.twisted.subscribed import Subscription

__all__ = [
    "ControlPoint",
    "RemoteDevice",
    "RemoteService",
    "Service",
    "Site",
    "Subscription",
    "install",
]
