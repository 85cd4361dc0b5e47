"""Start values.

Each factor's loadings come from the principal axis of its indicators' correlations. Sums of
indicators, freed of measurement error, then give the covariances of factors among
themselves and with everything else; these give the loadings of higher-order factors the same
way, and regressions by least squares. That is close enough for Fisher scoring to need a few
steps. Other strategies wait for the models where this fails, tried in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sqvalid.latent.implied import Array
from sqvalid.latent.parameter_table import ParameterTable, Row
from sqvalid.moments import Block

# One factor's share of an item's variance is kept off the edges, where information degenerates.
_LEAST, _MOST = 0.1, 0.9
# Smallest eigenvalue that guessed factor correlations are brought up to.
_DISTINCT = 0.05


def _principal_axis(correlation: Array) -> Array:
    """Loadings of one factor on k items, by three rounds of principal axis factoring."""
    k = correlation.shape[0]
    if k == 1:
        return np.array([np.sqrt(_MOST)])
    if k == 2:
        r = float(np.clip(correlation[0, 1], -_MOST, _MOST))
        root = np.sqrt(max(abs(r), _LEAST))
        return np.array([root, root if r >= 0 else -root])
    reduced = correlation.copy()
    np.fill_diagonal(reduced, 0.0)
    communality = np.clip(np.abs(reduced).max(axis=0), _LEAST, _MOST)
    loadings = np.empty(k)
    for _ in range(3):
        np.fill_diagonal(reduced, communality)
        values, vectors = np.linalg.eigh(reduced)
        loadings = vectors[:, -1] * np.sqrt(max(values[-1], _LEAST))
        communality = np.minimum(np.maximum(loadings**2, _LEAST), _MOST)
    return np.sign(loadings) * np.minimum(np.abs(loadings), np.sqrt(_MOST))


class _Group:
    """Start values of one group.

    `cov` is a guess of the covariances of all variables, observed ones first, then latents; in
    the metric that fixed loadings and variances set, as long as nothing explains a latent.
    """

    def __init__(self, rows: list[Row], latents: tuple[str, ...], block: Block) -> None:
        self.means = block.means
        self.block = block
        self.n_observed = block.n_variables
        names = (*block.variables, *latents)
        self.place = {name: i for i, name in enumerate(names)}
        self.cov = np.zeros((len(names), len(names)))
        self.cov[: self.n_observed, : self.n_observed] = block.covariance
        self.indicators: dict[str, list[Row]] = {name: [] for name in latents}
        self.causes: dict[str, list[Row]] = {}
        self.fixed_variance: dict[str, float | None] = {}
        for row in rows:
            if row.op == "=~":
                self.indicators[row.lhs].append(row)
            elif row.op == "~":
                self.causes.setdefault(row.lhs, []).append(row)
            elif row.op == "~~" and row.lhs == row.rhs and not row.free:
                self.fixed_variance[row.lhs] = row.ustart
        self.loadings: dict[tuple[str, str], float] = {}
        self.slopes: dict[tuple[str, str], float] = {}
        # Variance that factors or causes leave unexplained, as a share.
        self.unexplained: dict[str, float] = {}
        measured: list[str] = []
        waiting = list(latents)
        while waiting:
            ready = [f for f in waiting if all(r.rhs not in waiting for r in self.indicators[f])]
            for factor in ready or waiting:
                self._measure(factor, measured)
                measured.append(factor)
            waiting = [f for f in waiting if f not in measured]
        self._keep_distinct()
        for outcome in self.causes:
            self._regress(outcome)
        # A fixed variance of an explained latent is that of its residual.
        self.stretch: dict[str, float] = {
            name: float(np.sqrt(value / (self._variance(name) * share)))
            for name, share in self.unexplained.items()
            if (value := self.fixed_variance.get(name)) is not None
            and value > 0
            and self.place[name] >= self.n_observed
        }

    def _variance(self, name: str) -> float:
        place = self.place[name]
        return max(float(self.cov[place, place]), 1e-12)

    def _measure(self, factor: str, measured: Sequence[str]) -> None:
        """Loadings of a factor, and its covariances with all that came before."""
        rows = self.indicators[factor]
        at = self.place[factor]
        index = [self.place[row.rhs] for row in rows]
        if not index or self.cov.diagonal()[index].min() <= 0:
            self.cov[at, at] = self.fixed_variance.get(factor) or 1.0
            self.loadings |= {(factor, row.rhs): 1.0 for row in rows}
            return
        among = self.cov[index]
        inner = among[:, index]
        sd = np.sqrt(inner.diagonal())
        correlation = inner / (sd[:, None] * sd)
        raw = _principal_axis(correlation) * sd
        fixed = [i for i, row in enumerate(rows) if not row.free and row.ustart]
        variance = self.fixed_variance.get(factor)
        if fixed:
            # The metric is the one the fixed loadings set: least squares over them.
            wanted = np.array([float(rows[i].ustart or 0.0) for i in fixed])
            ratio = float(wanted @ raw[fixed] / (wanted @ wanted))
            # A marker that measures nothing sets no metric: let it measure a little.
            if abs(ratio) < 1e-2 * float(sd[fixed].min()):
                ratio = 0.3 * float(sd[fixed].min())
        elif variance is not None and variance > 0:
            ratio = float(np.sign(raw.sum()) or 1.0) / np.sqrt(variance)
        else:
            # Effect coding and the like: loadings average one.
            ratio = float(raw.mean()) or 1.0
        loadings = raw / ratio
        if fixed and not any(row.free for row in rows):
            loadings = np.array([float(row.ustart or 0.0) for row in rows])
        metric = float(sd[fixed].min()) if fixed else 0.0
        size = max(ratio**2, 1e-4 * metric**2)
        shares = (loadings**2 * size / sd**2).tolist()
        for row, loading, share in zip(rows, loadings.tolist(), shares, strict=True):
            self.loadings[(factor, row.rhs)] = loading
            before = self.unexplained.get(row.rhs, 1.0)
            self.unexplained[row.rhs] = min(max(before - share, _LEAST), _MOST)
        weight = np.sign(raw * np.sign(ratio)) / sd
        across = weight @ among / float(weight @ loadings)
        for other in measured:
            if {row.rhs for row in self.indicators[other]} & {row.rhs for row in rows}:
                across[self.place[other]] = 0.0
        across[index] = loadings * size
        across[at] = size
        self.cov[at], self.cov[:, at] = across, across

    def _keep_distinct(self) -> None:
        """Shrink covariances among latents until their correlations are well conditioned."""
        among = self.cov[self.n_observed :, self.n_observed :]
        if len(among) < 2:
            return
        sd = np.sqrt(np.diag(among))
        smallest = float(np.linalg.eigvalsh(among / np.outer(sd, sd))[0])
        if smallest < _DISTINCT:
            diagonal = np.diag(among).copy()
            among *= (1.0 - _DISTINCT) / (1.0 - smallest)
            np.fill_diagonal(among, diagonal)

    def _regress(self, outcome: str) -> None:
        """Least squares of an outcome on its causes."""
        causes = [self.place[row.rhs] for row in self.causes[outcome]]
        at = self.place[outcome]
        inner = self.cov[np.ix_(causes, causes)]
        ridge = np.diag(1e-6 * np.diag(inner) + 1e-12)
        slopes = np.linalg.solve(inner + ridge, self.cov[causes, at])
        explained = float(slopes @ self.cov[causes, at]) / self._variance(outcome)
        keep = 1.0 if explained <= _MOST else np.sqrt(_MOST / explained)
        for row, slope in zip(self.causes[outcome], slopes, strict=True):
            self.slopes[(outcome, row.rhs)] = float(slope * keep)
        left = 1.0 - min(max(explained, 0.0), _MOST)
        self.unexplained[outcome] = self.unexplained.get(outcome, 1.0) * left

    def value(self, row: Row) -> float:
        """Start value of one free row."""
        if row.ustart is not None:
            return row.ustart
        to, of = self.stretch.get(row.rhs, 1.0), self.stretch.get(row.lhs, 1.0)
        match row.op:
            case "|" | "~*~":
                return _response_start(row, self.block)
            case "=~":
                return self.loadings[(row.lhs, row.rhs)] * to / of
            case "~":
                return self.slopes[(row.lhs, row.rhs)] * of / to
            case "~~" if row.lhs == row.rhs:
                return self._variance(row.lhs) * self.unexplained.get(row.lhs, 1.0) * of**2
            case "~~":
                inside = {row.lhs, row.rhs}.isdisjoint(self.unexplained)
                covariance = float(self.cov[self.place[row.lhs], self.place[row.rhs]])
                return covariance if inside else 0.0
            case "~1":
                place = self.place[row.lhs]
                known = self.means is not None and place < self.n_observed
                return float(self.means[place]) if known else 0.0  # type: ignore[index]
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
            elif row.op in ("|", "~*~"):
                value = _response_start(row, block)
            elif row.op == "=~":
                value = 1.0 if not table.options.std_lv else 0.5 * np.sqrt(typical)
            elif row.op == "~~" and row.lhs == row.rhs:
                own = block.covariance[place[row.lhs], place[row.lhs]] if row.lhs in observed else 0
                value = 0.5 * float(own) if row.lhs in observed else 0.05 * typical
            elif row.op == "~1" and row.lhs in observed and block.means is not None:
                value = float(block.means[place[row.lhs]])
            start[row.free - 1] = value
    return start


def _response_start(row: Row, block: Block) -> float:
    """A sample threshold, or a scale of one."""
    if row.op == "~*~":
        return 1.0
    assert block.thresholds is not None
    own = block.thresholds[block.owner == block.variables.index(row.lhs)]
    return float(own[int(row.rhs[1:]) - 1])


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
