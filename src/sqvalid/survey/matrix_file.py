"""Reading a correlation or covariance matrix from a file."""

from __future__ import annotations

import os
import re

import numpy as np
import numpy.typing as npt

from sqvalid.errors import SurveyError
from sqvalid.survey.files import existing_file
from sqvalid.survey.text_file import read_cells

__all__ = ["read_matrix"]

# Matrices are printed with few digits; beyond this share of the scale two cells disagree.
_SYMMETRY = 1e-8


# Not float(): a variable may be called "inf" or "nan".
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BLANK = ("", "NA")


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def read_matrix(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Read a symmetric matrix with the names of its variables.

    Parameters
    ----------
    path : str or path
        Text with the names in the first row, and in the first column or not; the whole
        matrix, or one triangle with the diagonal and blank cells in the other.
    delimiter : str, optional
        Sniffed when None.
    decimal : {".", ","}, optional
        "." when None and the delimiter is a comma; found otherwise.
    encoding : str, optional
        Found when None.

    Returns
    -------
    names : tuple of str
    matrix : ndarray, shape (p, p)
        Symmetric. Whether it is positive definite is for the engine to check.

    Raises
    ------
    SurveyError
        What a text file may have wrong, and: no names, not square, row and column names that
        differ, a cell that is missing or no number, two cells that should be equal and are
        not, a diagonal that is not positive.
    """
    file = existing_file(path)
    rows, used, _ = read_cells(file, delimiter=delimiter, encoding=encoding)
    where = f"Matrix file {str(file)!r}"
    grid = [row for row in rows if any(row)]
    if decimal == "," or (decimal is None and used != ","):
        grid = [
            [cell.replace(",", ".") if j or i else cell for j, cell in enumerate(row)]
            for i, row in enumerate(grid)
        ]
    head, body = grid[0], grid[1:]
    if all(_is_number(cell) for cell in head if cell):
        raise SurveyError(
            f"{where} has no names in its first row.",
            remedy="Put the names of the variables into the first row.",
        )
    labelled = bool(body) and not any(_is_number(row[0]) or not row[0] for row in body)
    names = tuple(head[1:] if labelled else head)
    for name in names:
        if not name or names.count(name) > 1:
            raise SurveyError(
                f"{where} has a column without a name."
                if not name
                else f"{where} has the name {name!r} more than once.",
                remedy="Give every variable its own name in the first row.",
            )
    if len(body) != len(names):
        raise SurveyError(
            f"{where} is not square: {len(body)} rows and {len(names)} columns.",
            remedy="A correlation or covariance matrix has a row and a column per variable.",
        )
    if labelled:
        for row, name in zip(body, names, strict=True):
            if row[0] != name:
                raise SurveyError(
                    f"{where}: row {row[0]!r} stands where column {name!r} does.",
                    remedy="Rows and columns must have the same names in the same order.",
                )
    cells = [row[1:] if labelled else row for row in body]
    return names, _symmetric(cells, names, where)


def _symmetric(
    cells: list[list[str]], names: tuple[str, ...], where: str
) -> npt.NDArray[np.float64]:
    size = len(names)
    matrix = np.full((size, size), np.nan)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell in _BLANK:
                continue
            if not _is_number(cell) or np.isinf(float(cell)):
                raise SurveyError(
                    f"{where}: cell ({names[i]}, {names[j]}) is {cell!r}, not a number.",
                    remedy="Correct the cell.",
                )
            matrix[i, j] = float(cell)
    lower, upper = np.tril_indices(size, -1), np.triu_indices(size, 1)
    for filled, blank in ((lower, upper), (upper, lower)):
        if size > 1 and np.isnan(matrix[blank]).all() and not np.isnan(matrix[filled]).any():
            matrix[blank] = matrix.T[blank]
    if np.isnan(matrix).any():
        i, j = np.argwhere(np.isnan(matrix))[0]
        raise SurveyError(
            f"{where}: cell ({names[i]}, {names[j]}) is missing.",
            remedy="Give the whole matrix, or one triangle with the diagonal.",
        )
    diagonal = np.diag(matrix)
    if (diagonal <= 0).any():
        i = int(np.flatnonzero(diagonal <= 0)[0])
        raise SurveyError(
            f"{where}: the variance of {names[i]!r} is {diagonal[i]:g}.",
            remedy="Variances, and the ones on the diagonal of a correlation matrix, are positive.",
        )
    scale = np.sqrt(np.outer(diagonal, diagonal))
    apart = np.abs(matrix - matrix.T) > _SYMMETRY * scale
    if apart.any():
        i, j = np.argwhere(np.tril(apart))[0]
        raise SurveyError(
            f"{where} is not symmetric: cell ({names[i]}, {names[j]}) is {matrix[i, j]:g} but "
            f"cell ({names[j]}, {names[i]}) is {matrix[j, i]:g}.",
            remedy="Correct the cell that is wrong.",
        )
    mean: npt.NDArray[np.float64] = (matrix + matrix.T) / 2
    return mean
