"""Start values.

Loadings come from the principal axis of each factor's own items, factor covariances from
disattenuated correlations of the item sums: close enough that Fisher scoring needs a few
steps. Other strategies wait for the models where this fails, tried in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sqvalid.latent.implied import Array
from sqvalid.latent.parameter_table import ParameterTable, Row
from sqvalid.moments import Block

# One factor's share of an item's variance is kept off the edges, where information degenerates.
_LEAST, _MOST = 0.1, 0.9


def _principal_axis(correlation: Array) -> Array:
    """Loadings of one factor on k items, by four rounds of principal axis factoring."""
    k = correlation.shape[0]
    if k == 1:
        return np.array([np.sqrt(_MOST)])
    if k == 2:
        r = float(np.clip(correlation[0, 1], -_MOST, _MOST))
        root = np.sqrt(max(abs(r), _LEAST))
        return np.array([root, root if r >= 0 else -root])
    off = np.abs(correlation - np.eye(k))
    communality = np.clip(off.max(axis=0), _LEAST, _MOST)
    loadings = np.empty(k)
    for _ in range(4):
        reduced = correlation - np.diag(1.0 - communality)
        values, vectors = np.linalg.eigh(reduced)
        loadings = vectors[:, -1] * np.sqrt(max(values[-1], _LEAST))
        communality = np.clip(loadings**2, _LEAST, _MOST)
    return np.clip(loadings, -np.sqrt(_MOST), np.sqrt(_MOST))


class _Group:
    """Start values of one group."""

    def __init__(self, rows: list[Row], latents: tuple[str, ...], block: Block) -> None:
        self.rows = rows
        self.latents = latents
        self.place = {name: i for i, name in enumerate(block.variables)}
        self.covariance = block.covariance
        self.sd = np.sqrt(np.diag(block.covariance))
        self.means = block.means
        self.items: dict[str, list[Row]] = {name: [] for name in latents}
        for row in rows:
            if row.op == "=~" and row.rhs in self.place:
                self.items[row.lhs].append(row)
        self.loadings: dict[tuple[str, str], float] = {}
        self.sizes: dict[str, float] = {}
        self.composite: dict[str, Array] = {}
        for factor in latents:
            self._one_factor(factor)

    def _fixed_variance(self, factor: str) -> float | None:
        for row in self.rows:
            if row.op == "~~" and row.lhs == row.rhs == factor and not row.free:
                return row.ustart
        return None

    def _one_factor(self, factor: str) -> None:
        rows = self.items[factor]
        if not rows:
            self.sizes[factor] = 1.0
            return
        index = [self.place[row.rhs] for row in rows]
        sd = self.sd[index]
        correlation = self.covariance[np.ix_(index, index)] / np.outer(sd, sd)
        raw = _principal_axis(correlation) * sd
        fixed = [i for i, row in enumerate(rows) if not row.free and row.ustart]
        variance = self._fixed_variance(factor)
        if fixed:
            # The metric is the one the fixed loadings set: least squares over them.
            wanted = np.array([float(rows[i].ustart or 0.0) for i in fixed])
            ratio = float(wanted @ raw[fixed] / (wanted @ wanted))
            if abs(ratio) < 1e-3 * float(np.abs(raw).max()):
                ratio = float(np.abs(raw).mean())
        elif variance is not None and variance > 0:
            lead = float(np.sign(raw.sum()) or 1.0)
            ratio = lead / np.sqrt(variance)
        else:
            # Effect coding and the like: loadings average one.
            ratio = float(raw.mean()) or 1.0
        scaled = raw / ratio
        if fixed and not any(row.free for row in rows):
            scaled = np.array([float(row.ustart or 0.0) for row in rows])
        for row, loading in zip(rows, scaled, strict=True):
            self.loadings[(factor, row.rhs)] = float(loading)
        self.sizes[factor] = max(ratio**2, 1e-4 * float(sd.mean()) ** 2)
        weight = np.zeros(len(self.place))
        weight[index] = np.sign(raw * np.sign(ratio)) / sd
        self.composite[factor] = weight

    def _latent_correlation(self, first: str, second: str) -> float:
        one, two = self.composite.get(first), self.composite.get(second)
        if one is None or two is None:
            return 0.0
        cross = float(one @ self.covariance @ two)
        total = np.sqrt(float(one @ self.covariance @ one) * float(two @ self.covariance @ two))
        shared = bool(((one != 0) & (two != 0)).any())
        return 0.0 if shared or total == 0 else float(np.clip(cross / total, -0.8, 0.8))

    def value(self, row: Row) -> float:
        """Start value of one free row."""
        if row.ustart is not None:
            return row.ustart
        match row.op:
            case "=~" if (row.lhs, row.rhs) in self.loadings:
                return self.loadings[(row.lhs, row.rhs)]
            case "=~":
                return self._second_order_loading(row)
            case "~":
                return 0.0
            case "~~" if row.lhs == row.rhs:
                return self._variance(row.lhs)
            case "~~":
                return self._covariance(row.lhs, row.rhs)
            case "~1":
                known = self.means is not None and row.lhs in self.place
                return float(self.means[self.place[row.lhs]]) if known else 0.0  # type: ignore[index]
        return 0.0

    def _second_order_loading(self, row: Row) -> float:
        variance = self._fixed_variance(row.lhs) or 1.0
        lower = self._fixed_variance(row.rhs) or self.sizes.get(row.rhs, 1.0)
        return float(np.sqrt(0.5 * lower / variance)) if variance == 1.0 else 1.0

    def _variance(self, name: str) -> float:
        if name in self.place:
            own = float(self.covariance[self.place[name], self.place[name]])
            factors = [f for f, rows in self.items.items() if any(r.rhs == name for r in rows)]
            if not factors:
                is_outcome = any(r.op == "~" and r.lhs == name for r in self.rows)
                return 0.5 * own if is_outcome else own
            explained = sum(self.loadings[(f, name)] ** 2 * self.sizes[f] for f in factors)
            return own * float(np.clip(1.0 - explained / own, _LEAST, _MOST))
        lower_order = any(r.op == "=~" and r.rhs == name for r in self.rows)
        endogenous = any(r.op == "~" and r.lhs == name for r in self.rows)
        if not self.items.get(name):
            first = next((r.rhs for r in self.rows if r.op == "=~" and r.lhs == name), "")
            return 0.5 * self.sizes.get(first, 1.0)
        return self.sizes[name] * (0.5 if lower_order or endogenous else 1.0)

    def _covariance(self, first: str, second: str) -> float:
        latent = set(self.latents)
        if first in latent and second in latent:
            r = self._latent_correlation(first, second)
            sizes = [self._fixed_variance(n) or self.sizes.get(n, 1.0) for n in (first, second)]
            return r * float(np.sqrt(sizes[0] * sizes[1]))
        exogenous = not any(
            (r.op == "~" and r.lhs in (first, second))
            or (r.op == "=~" and r.rhs in (first, second))
            for r in self.rows
        )
        if first in self.place and second in self.place and exogenous:
            return float(self.covariance[self.place[first], self.place[second]])
        return 0.0


def _by_group(table: ParameterTable, g: int) -> list[Row]:
    return [row for row in table.rows if row.group == g + 1]


def principal_axis_start(table: ParameterTable, blocks: tuple[Block, ...]) -> Array:
    """Start values from the items of each factor, shape (q,)."""
    start = np.zeros(table.n_free)
    for g, block in enumerate(blocks):
        rows = _by_group(table, g)
        group = _Group(rows, table.latents[g], block.select(table.observed[g]))
        for row in rows:
            if row.free:
                start[row.free - 1] = group.value(row)
    return start


def simple_start(table: ParameterTable, blocks: tuple[Block, ...]) -> Array:
    """Loadings one, variances half of the sample's, everything else zero; shape (q,)."""
    start = np.zeros(table.n_free)
    for g, block in enumerate(blocks):
        place = {name: i for i, name in enumerate(block.variables)}
        observed = set(table.observed[g])
        typical = float(np.diag(block.covariance).mean())
        for row in _by_group(table, g):
            if not row.free:
                continue
            value = 0.0
            if row.ustart is not None:
                value = row.ustart
            elif row.op == "=~":
                value = 1.0 if not table.options.std_lv else 0.5 * np.sqrt(typical)
            elif row.op == "~~" and row.lhs == row.rhs:
                own = block.covariance[place[row.lhs], place[row.lhs]] if row.lhs in observed else 0
                value = 0.5 * float(own) if row.lhs in observed else 0.05 * typical
            elif row.op == "~1" and row.lhs in observed and block.means is not None:
                value = float(block.means[place[row.lhs]])
            start[row.free - 1] = value
    return start


def random_start(
    table: ParameterTable, blocks: tuple[Block, ...], uniforms: Array, base: Array
) -> Array:
    """Scatter a start: variances times 0.5-1.5, loadings times 0.5-1.5, others shifted.

    Parameters
    ----------
    uniforms : ndarray, shape (q,)
        Draws from (0, 1), one per free parameter.
    base : ndarray, shape (q,)
        The start to scatter around.
    """
    out = base.copy()
    for row in table.rows:
        if not row.free:
            continue
        i = row.free - 1
        spread = 0.5 + uniforms[i]
        if row.op == "=~" or (row.op == "~~" and row.lhs == row.rhs):
            out[i] = base[i] * spread
        elif row.op == "~~":
            out[i] = base[i] * (uniforms[i] - 0.25)
        elif row.op == "~":
            out[i] = base[i] + 0.2 * (uniforms[i] - 0.5)
        elif row.op == "~1":
            block = blocks[row.group - 1]
            sd = np.sqrt(float(np.diag(block.covariance).mean()))
            out[i] = base[i] + 0.5 * sd * (uniforms[i] - 0.5)
    return out


StartMaker = Callable[[ParameterTable, tuple[Block, ...]], Array]
STRATEGIES: Mapping[str, StartMaker] = {
    "principal_axis": principal_axis_start,
    "simple": simple_start,
}
