"""Twisted: Cohen3's events on the rules of the core, and services and control points without it."""

from __future__ import annotations

from propchange.twisted.installing import install

__all__ = ["install"]
