"""Twisted: Cohen3's events on the rules of the core, and services and control points without it."""

from __future__ import annotations

from propchange.twisted.control_point import ControlPoint, Subscription
from propchange.twisted.installing import install
from propchange.twisted.service import Service
from propchange.twisted.site import Site

__all__ = ["ControlPoint", "Service", "Site", "Subscription", "install"]
