"""The bundled datasets as surveys."""

from __future__ import annotations

from sqvalid.bundled import codebook, data_file
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
        Answers as they were given: reverse-worded items are not turned yet, codes that stand
        for no answer are empty.

    Raises
    ------
    OptionError
        No such dataset; the message lists those there are.
    InputError
        The file belongs to a package that is not installed.

    Examples
    --------
    >>> load_dataset("servqual_demo")
    <Survey of servqual_study: 600 respondents, 36 items, 10 dimensions>
    """
    book = codebook(name)
    return read_survey(
        data_file(name),
        instrument=load_instrument(book["instrument"]) if "instrument" in book else None,
        dimensions=book.get("dimensions"),
        missing_codes=book.get("missing_codes", ()),
    )
