"""The bundled datasets as surveys."""

from __future__ import annotations

from sqvalid.bundled import codebook, dataset_path
from sqvalid.instruments import load_instrument
from sqvalid.survey.files import read_survey
from sqvalid.survey.record import Survey

__all__ = ["load_dataset"]


def load_dataset(name: str) -> Survey:
    """Load a bundled dataset.

    Parameters
    ----------
    name : str
        One of :func:`sqvalid.bundled.dataset_names`, e.g. ``"servqual_demo"``; its codebook
        (:func:`sqvalid.bundled.codebook`) says where it comes from and whether it is simulated.

    Returns
    -------
    Survey
        Answers as they were given: reverse-worded items are not turned yet.

    Raises
    ------
    OptionError
        No such dataset; the message lists those there are.

    Examples
    --------
    >>> load_dataset("servqual_demo")
    <Survey of servqual_study: 400 respondents, 29 items, 7 dimensions>
    """
    book = codebook(name)
    return read_survey(
        dataset_path(name, book["file"]), instrument=load_instrument(book["instrument"])
    )
