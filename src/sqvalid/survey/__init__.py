"""Answers: reading them from files, checking them, and keeping a record of every step."""

from __future__ import annotations

from sqvalid.survey.checks import check_items, check_range
from sqvalid.survey.datasets import load_dataset
from sqvalid.survey.files import read_frame, read_survey
from sqvalid.survey.matrix_file import read_matrix
from sqvalid.survey.record import AuditEntry, Survey, as_pandas, content_sha256

__all__ = [
    "AuditEntry",
    "Survey",
    "as_pandas",
    "check_items",
    "check_range",
    "content_sha256",
    "load_dataset",
    "read_frame",
    "read_matrix",
    "read_survey",
]
