"""Exploratory factor analysis."""

from __future__ import annotations

from sqvalid.exploratory.analysis import EfaResult, efa
from sqvalid.exploratory.extraction import METHODS, Extraction, extract

__all__ = ["METHODS", "EfaResult", "Extraction", "efa", "extract"]
