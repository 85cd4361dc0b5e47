"""A second, deliberately naive way from parameter rows to moments.

The reference files give every parameter of a fit. Laying the rows out as a path model
(McArdle & McDonald, 1984), Sigma = F (I - A)^-1 S (I - A)^-T F', needs none of the engine, so
the statistics under test can be fed with the reference's own solution.
"""

from __future__ import annotations

import numpy as np


class PathModel:
    """Rows of one group of a parameter table, laid out as A, S and m.

    Parameters
    ----------
    rows : list of dict
        Keys lhs, op, rhs, est and free (0, or the 1-based number of the free parameter).
    observed : list of str
        Observed variables, in the order wanted.
    """

    def __init__(self, rows, observed):
        self.observed = list(observed)
        latent = sorted({r["lhs"] for r in rows if r["op"] == "=~"})
        self.names = self.observed + [n for n in latent if n not in self.observed]
        place = {n: i for i, n in enumerate(self.names)}
        k = len(self.names)
        self.a, self.s, self.m = np.zeros((k, k)), np.zeros((k, k)), np.zeros(k)
        self.cells = {}
        for row in rows:
            lhs, op, rhs = row["lhs"], row["op"], row["rhs"]
            if op == "=~":
                cells = [("a", place[rhs], place[lhs])]
            elif op == "~":
                cells = [("a", place[lhs], place[rhs])]
            elif op == "~~":
                i, j = place[lhs], place[rhs]
                cells = [("s", i, j)] if i == j else [("s", i, j), ("s", j, i)]
            elif op == "~1":
                cells = [("m", place[lhs])]
            else:
                continue
            for name, *index in cells:
                getattr(self, name)[tuple(index)] = row["est"]
            if row["free"] > 0:
                self.cells.setdefault(row["free"], []).extend(cells)

    def moments(self):
        """Implied covariance matrix and means of the observed variables."""
        p = len(self.observed)
        total = np.linalg.inv(np.eye(len(self.names), dtype=self.a.dtype) - self.a)
        return (total @ self.s @ total.T)[:p, :p], (total @ self.m)[:p]

    def jacobian(self, n_free, *, means):
        """Delta: rows are means (where wanted) and the lower triangle by columns."""
        p = len(self.observed)
        rows, cols = np.triu_indices(p)
        out = np.zeros((p * (p + 1) // 2 + (p if means else 0), n_free))
        for number, cells in self.cells.items():
            saved = [getattr(self, name) for name in ("a", "s", "m")]
            self.a, self.s, self.m = (x.astype(complex) for x in saved)
            for name, *index in cells:
                getattr(self, name)[tuple(index)] += 1e-30j
            sigma, mu = self.moments()
            self.a, self.s, self.m = saved
            change = sigma[cols, rows].imag / 1e-30
            out[:, number - 1] = np.r_[mu.imag / 1e-30, change] if means else change
        return out
