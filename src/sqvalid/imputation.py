r"""Multiple imputation: a model fitted to every completed data set, and what they say together.

Estimates are averaged; their covariance is what it is within data sets plus what the imputations
differ by. Test statistics are pooled in three ways: from the statistics themselves (D2), from
likelihood ratios at the pooled estimates (D3), and from the likelihood of all data sets stacked
(D4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sqvalid.display import Result, Table
from sqvalid.errors import (
    Diagnostic,
    EstimationError,
    InputError,
    OptionError,
    SqvalidError,
    UnsupportedError,
    check_choice,
)
from sqvalid.latent import absolute_fit, incremental_fit
from sqvalid.latent.fit import FitKeywords, cfa, growth, sem
from sqvalid.latent.parameter_frames import estimates_and_errors, row_values
from sqvalid.latent.result import FitResult
from sqvalid.resampling import uniforms

__all__ = ["PooledFit", "PooledTest", "compare_imputed", "fit_imputations", "impute"]

Array = NDArray[np.float64]
Method = Literal["D2", "D3", "D4"]
METHODS: tuple[Method, ...] = ("D2", "D3", "D4")
_FUNCTIONS = {"cfa": cfa, "sem": sem, "growth": growth}
DEFAULT_SEED = 19880101


@dataclass(frozen=True)
class PooledTest:
    """A test pooled over imputations.

    Parameters
    ----------
    method : {"D2", "D3", "D4"}
    statistic : float
        F on `df` and `df_error` degrees of freedom; NaN for a saturated model.
    df : int
    df_error : float
    relative_increase : float
        Average relative increase in variance that missing answers cause (ARIV).
    scaling : float
        What the statistic was divided by for answers that are not normal; 1 where it was not.
    """

    method: Method
    statistic: float
    df: int
    df_error: float
    relative_increase: float
    scaling: float = 1.0

    @property
    def chisq(self) -> float:
        """The F statistic times its degrees of freedom, on the scale of a chi-square."""
        return self.statistic * self.df

    @property
    def p(self) -> float:
        """Upper tail of the F distribution."""
        from scipy.special import fdtrc

        if math.isnan(self.statistic):
            return math.nan
        if math.isinf(self.df_error):
            return absolute_fit.chisq_pvalue(self.chisq, self.df)
        return float(fdtrc(self.df, self.df_error, max(self.statistic, 0.0)))


def pool_statistics(values: Sequence[float], df: int) -> PooledTest:
    r"""Pool chi-squares of the imputations (D2).

    .. math:: D_2 = \frac{\bar d / k - \frac{m+1}{m-1} r}{1 + r}, \qquad
              r = (1 + 1/m)\,\mathrm{var}(\sqrt{d_l})

    Parameters
    ----------
    values : sequence of float
        One chi-square per imputation.
    df : int
        Their degrees of freedom, k.

    References
    ----------
    Li, Meng, Raghunathan & Rubin (1991), Statistica Sinica 1.
    """
    d = np.asarray(values, dtype=float)
    m = len(d)
    if df == 0:
        return PooledTest("D2", math.nan, 0, math.nan, math.nan)
    r = (1.0 + 1.0 / m) * float(np.var(np.sqrt(d), ddof=1))
    statistic = (float(d.mean()) / df - (m + 1.0) / (m - 1.0) * r) / (1.0 + r)
    df_error = df ** (-3.0 / m) * (m - 1.0) * (1.0 + 1.0 / r) ** 2 if r > 0 else math.inf
    # A statistic below zero says that nothing speaks against the restrictions.
    return PooledTest("D2", max(statistic, 0.0), df, df_error, r)


def pool_ratios(
    method: Method, mean_ratio: float, pooled_ratio: float, df: int, m: int, *, scaling: float = 1.0
) -> PooledTest:
    r"""Pool likelihood ratios (D3, D4).

    .. math:: D = \frac{\tilde d}{k (1 + r)}, \qquad
              r = \max\left(\frac{m + 1}{k (m - 1)} (\bar d - \tilde d),\, 0\right)

    Parameters
    ----------
    mean_ratio : float
        Mean of the imputations' own statistics.
    pooled_ratio : float
        Mean statistic at the pooled estimates (D3), or that of the stacked data over m (D4).

    References
    ----------
    D3: Meng & Rubin (1992), Biometrika 79. D4: Chan & Meng (2022), Statistica Sinica 32.
    """
    if df == 0:
        return PooledTest(method, math.nan, 0, math.nan, math.nan, scaling)
    r = max((m + 1.0) / (df * (m - 1.0)) * (mean_ratio - pooled_ratio), 0.0)
    statistic = pooled_ratio / (df * (1.0 + r) * scaling)
    return PooledTest(method, statistic, df, _ratio_df(df, m, r), r, scaling)


def _ratio_df(df: int, m: int, r: float) -> float:
    """Error degrees of freedom of D3 and D4 (Li, Raghunathan & Rubin, 1991)."""
    if r <= 0:
        return math.inf
    t = df * (m - 1.0)
    if t > 4:
        return 4.0 + (t - 4.0) * (1.0 + (1.0 - 2.0 / t) / r) ** 2
    return t * (1.0 + 1.0 / df) * (1.0 + 1.0 / r) ** 2 / 2.0


@dataclass(frozen=True, repr=False, eq=False)
class PooledFit(Result):
    """A model fitted to imputed data sets; made by :func:`fit_imputations`.

    Parameters
    ----------
    fits : tuple of FitResult
        Those that converged, in the order of the imputations.
    stacked : FitResult
        Of all these data sets as one, for D4.
    n_imputations : int
        Data sets given.
    diagnostics : tuple of Diagnostic
    """

    fits: tuple[FitResult, ...]
    stacked: FitResult | None
    n_imputations: int
    diagnostics: tuple[Diagnostic, ...]

    @property
    def n_obs(self) -> int:
        """Respondents of one data set."""
        return self.fits[0].n_obs

    @property
    def df(self) -> int:
        """Degrees of freedom."""
        return self.fits[0].df

    @property
    def _is_likelihood(self) -> bool:
        return self.fits[0].estimate.problem.is_likelihood

    @cached_property
    def theta(self) -> Array:
        """Pooled free parameters."""
        return np.asarray(np.mean([fit.estimate.theta for fit in self.fits], axis=0))

    @cached_property
    def vcov(self) -> pd.DataFrame:
        r"""Covariance of the pooled estimates, :math:`\bar W + (1 + 1/m) B` (Rubin, 1987)."""
        m = len(self.fits)
        within = np.mean([fit.estimate.vcov for fit in self.fits], axis=0)
        between = np.atleast_2d(np.cov([fit.estimate.theta for fit in self.fits], rowvar=False))
        names = [row.name for row in self.fits[0].table.free_rows()]
        return pd.DataFrame(within + (1.0 + 1.0 / m) * between, index=names, columns=names)

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """Pooled parameters with Rubin's rules.

        Columns lhs, op, rhs, group, label, free, est, se, t, df (of the t distribution), p,
        ci_lower, ci_upper, riv (relative increase in variance), lambda (share of the variance
        that missing answers cause, riv / (1 + riv)) and fmi (fraction of missing information).

        References
        ----------
        Rubin (1987), chapter 3. The fraction is the one for finitely many imputations,
        ``(riv + 2 / (df + 3)) / (riv + 1)``.
        """
        rows = [estimates_and_errors(fit.estimate, row_values(fit.estimate)) for fit in self.fits]
        base = self.fits[0].parameters[["lhs", "op", "rhs", "group", "label", "free"]]
        return base.assign(**_rubin(*(np.array(part) for part in zip(*rows, strict=True))))

    def test(self, method: Method = "D2", *, scaled: bool | None = None) -> PooledTest:
        """Test of the model against the saturated one.

        Parameters
        ----------
        method : {"D2", "D3", "D4"}
            D3 and D4 need maximum likelihood.
        scaled : bool, optional
            Use the statistic corrected for answers that are not normal; by default where the
            estimator has one.
        """
        return _test([self], method, scaled=scaled)

    @cached_property
    def fit_measures(self) -> pd.Series:
        """Fit measures from pooled statistics (D4 for maximum likelihood, else D2).

        References
        ----------
        Enders & Mansolf (2018), Psychological Methods 23.
        """
        method: Method = "D4" if self._is_likelihood else "D2"
        model = self.test(method)
        base = self._baseline(method)
        values = {
            "chisq": model.chisq,
            "df": float(model.df),
            "pvalue": model.p,
            "baseline_chisq": base.chisq,
            "baseline_df": float(base.df),
            "ariv": model.relative_increase,
            "cfi": incremental_fit.cfi(model.chisq, model.df, base.chisq, base.df),
            "tli": incremental_fit.tli(model.chisq, model.df, base.chisq, base.df),
            "rmsea": absolute_fit.rmsea(
                model.chisq,
                model.df,
                self.fits[0].estimate.problem.multiplier,
                n_groups=len(self.fits[0].group_labels),
            ),
            "srmr": float(np.mean([fit.fit_measures["srmr"] for fit in self.fits])),
        }
        return pd.Series(values, dtype=float)

    def _baseline(self, method: Method) -> PooledTest:
        """The independence model, pooled as the model is."""
        baselines = [fit.baseline for fit in self.fits]
        scalings = [b.scaling_factor for b in baselines if b.scaling_factor is not None]
        df = baselines[0].df
        if method == "D2" or self.stacked is None:
            values = [b.chisq / (b.scaling_factor or 1.0) for b in baselines]
            return pool_statistics(values, df)
        mean = float(np.mean([b.chisq for b in baselines]))
        pooled = self.stacked.baseline.chisq / len(self.fits)
        scaling = float(np.mean(scalings)) if scalings else 1.0
        return pool_ratios(method, mean, pooled, df, len(self.fits), scaling=scaling)

    def _headline(self) -> str:
        m = self.fit_measures
        return (
            f"{self.fits[0].fit_options.estimator}, {len(self.fits)} of {self.n_imputations} "
            f"imputations, n = {self.n_obs}, chi-square {m['chisq']:.3f} on {self.df} df, "
            f"CFI {m['cfi']:.3f}, RMSEA {m['rmsea']:.3f}, SRMR {m['srmr']:.3f}"
        )

    def to_frame(self) -> pd.DataFrame:
        """The pooled parameters."""
        return self.parameters.copy()

    def tables(self) -> tuple[Table, ...]:
        """The pooled parameters and fit measures."""
        fit = self.fit_measures.to_frame("value").rename_axis("measure")
        return (Table(self.parameters), Table(fit.reset_index()))

    def _payload(self) -> Mapping[str, Any]:
        return {
            "n_imputations": self.n_imputations,
            "n_used": len(self.fits),
            "options": self.fits[0].options,
            "n_obs": self.n_obs,
            "fit_measures": self.fit_measures.to_dict(),
            "parameters": self.parameters,
        }


def _rubin(estimates: Array, errors: Array) -> dict[str, Array]:
    """Rubin's rules for rows of estimates and standard errors, shape (m, rows)."""
    from scipy.special import stdtr, stdtrit

    m = len(estimates)
    est = estimates.mean(axis=0)
    within = (errors**2).mean(axis=0)
    between = estimates.var(axis=0, ddof=1)
    extra = (1.0 + 1.0 / m) * between
    se = np.sqrt(within + extra)
    free = se > 0
    out = {name: np.full(len(est), np.nan) for name in ("t", "df", "p", "riv", "lambda", "fmi")}
    with np.errstate(divide="ignore", invalid="ignore"):
        riv = extra / within
        df = (m - 1.0) * (1.0 + 1.0 / riv) ** 2
        fmi = (riv + 2.0 / (df + 3.0)) / (riv + 1.0)
    # A billion degrees of freedom are as good as infinitely many, and defined.
    df = np.minimum(df, 1e9)
    out["riv"][free], out["df"][free], out["fmi"][free] = riv[free], df[free], fmi[free]
    out["lambda"][free] = (riv / (1.0 + riv))[free]
    out["t"][free] = est[free] / se[free]
    out["p"][free] = 2.0 * stdtr(df[free], -np.abs(out["t"][free]))
    half = np.zeros(len(est))
    half[free] = stdtrit(df[free], 0.975) * se[free]
    return {
        "est": est,
        "se": se,
        "t": out["t"],
        "df": out["df"],
        "p": out["p"],
        "ci_lower": est - half,
        "ci_upper": est + half,
        "riv": out["riv"],
        "lambda": out["lambda"],
        "fmi": out["fmi"],
    }


def _own_statistics(fit: PooledFit) -> Array:
    return np.array([one.estimate.chisq for one in fit.fits])


def _at_pooled(fit: PooledFit) -> Array:
    """Every data set's likelihood ratio against its own saturated moments, at pooled estimates."""
    out = []
    for one in fit.fits:
        problem = one.estimate.problem
        theta = fit.theta
        value = problem.objective.value(theta)
        if not np.isfinite(value):
            raise EstimationError(
                "The pooled estimates imply a covariance matrix that is not positive definite.",
                remedy="Use method='D2' or 'D4'.",
            )
        out.append(2.0 * problem.multiplier * value)
    return np.array(out)


def _saturated_at_pooled(fit: PooledFit) -> Array:
    """The same for the saturated model, whose pooled estimates are the mean moments."""
    targets = [one.estimate.problem.objective.targets for one in fit.fits]
    total = np.zeros(len(targets))
    for g in range(len(targets[0])):
        group = [t[g] for t in targets]
        covariance = np.mean([t.covariance for t in group], axis=0)
        means = [t.means for t in group]
        centre = None if means[0] is None else np.mean([m for m in means if m is not None], axis=0)
        inverse = np.linalg.inv(covariance)
        log_det = float(np.linalg.slogdet(covariance)[1])
        for k, target in enumerate(group):
            f = log_det - target.log_det - len(covariance)
            f += float(np.sum(inverse * target.covariance))
            if centre is not None and target.means is not None:
                gap = target.means - centre
                f += float(gap @ inverse @ gap)
            total[k] += target.weight * f * fit.fits[k].estimate.problem.multiplier
    return total


def _scalings(fit: PooledFit) -> Array:
    factors = [one.estimate.scaling_factor for one in fit.fits]
    return np.array([1.0 if factor is None else factor for factor in factors])


def _test(models: Sequence[PooledFit], method: Method, *, scaled: bool | None) -> PooledTest:
    """Pooled test of one model against the saturated one, or of two against each other."""
    check_choice("method", method, METHODS)
    restricted = models[0]
    free = models[1] if len(models) > 1 else None
    has_scaled = restricted.fits[0].estimate.scaled_test is not None
    scaled = has_scaled if scaled is None else scaled
    if scaled and not has_scaled:
        raise OptionError(
            f"estimator={restricted.fits[0].fit_options.estimator!r} has no corrected statistic.",
            remedy="Use estimator='MLR', or scaled=False.",
        )
    df = restricted.df - (free.df if free is not None else 0)
    if method == "D2":
        if free is not None:
            raise UnsupportedError("D2 of two models goes through compare_imputed.")
        values = _own_statistics(restricted)
        if scaled:
            values = np.array([one.tests[_scaled_name(one)]["stat"] for one in restricted.fits])
        return pool_statistics(list(values), df)
    if not restricted._is_likelihood:
        raise UnsupportedError(
            f"{method} compares likelihoods, and the estimator has none.", remedy="Use method='D2'."
        )
    m = len(restricted.fits)
    scaling = 1.0
    if scaled and df:
        weight = restricted.df * float(_scalings(restricted).mean())
        if free is not None and free.df:
            weight -= free.df * float(_scalings(free).mean())
        scaling = weight / df
        if scaling <= 0:
            return PooledTest(method, math.nan, df, math.nan, math.nan, scaling)
    own = float((_own_statistics(restricted)).mean())
    if free is not None:
        own -= float(_own_statistics(free).mean())
    if method == "D3":
        upper = _saturated_at_pooled(restricted) if free is None else _at_pooled(free)
        pooled = float((_at_pooled(restricted) - upper).mean())
    else:
        pooled = _stacked(restricted) - (_stacked(free) if free is not None else 0.0)
    return pool_ratios(method, own, pooled, df, m, scaling=scaling)


def _scaled_name(fit: FitResult) -> str:
    name = fit.estimate.scaled_test
    assert name is not None
    return name


def _stacked(fit: PooledFit) -> float:
    if fit.stacked is None or not fit.stacked.converged:
        raise EstimationError(
            "The model did not converge on the stacked data sets.", remedy="Use method='D2'."
        )
    return fit.stacked.estimate.chisq / len(fit.fits)


def compare_imputed(
    restricted: PooledFit, free: PooledFit, *, method: Method = "D4", scaled: bool | None = None
) -> PooledTest:
    """Likelihood-ratio test of nested models fitted to the same imputations.

    Parameters
    ----------
    restricted, free : PooledFit
        Of the same data sets; `free` has fewer degrees of freedom.
    method : {"D2", "D3", "D4"}
        D2 pools the plain differences of the imputations.
    scaled : bool, optional
        Correct for answers that are not normal by the mean scaling factors of the models
        (Satorra & Bentler, 2001); by default where the estimator has them.

    Returns
    -------
    PooledTest

    Raises
    ------
    InputError
        Models of different data sets, or not in that order.
    """
    if restricted.df <= free.df:
        raise InputError(
            f"The restricted model has {restricted.df} degrees of freedom, the free one {free.df}.",
            remedy="Give the model with more restrictions first.",
        )
    if len(restricted.fits) != len(free.fits) or any(
        a.moments.sha256() != b.moments.select(a.moments.variables).sha256()
        for a, b in zip(restricted.fits, free.fits, strict=False)
        if set(a.moments.variables) == set(b.moments.variables)
    ):
        raise InputError("The two models were not fitted to the same imputed data sets.")
    if method != "D2":
        return _test([restricted, free], method, scaled=scaled)
    has_scaled = restricted.fits[0].estimate.scaled_test is not None
    values = _own_statistics(restricted) - _own_statistics(free)
    df = restricted.df - free.df
    if has_scaled if scaled is None else scaled:
        factors = restricted.df * _scalings(restricted) - free.df * _scalings(free)
        if (factors <= 0).any():
            return PooledTest("D2", math.nan, df, math.nan, math.nan)
        values = values * df / factors
    return pool_statistics(list(np.maximum(values, 0.0)), df)


def fit_imputations(
    model: str,
    frames: Sequence[Any],
    *,
    function: Literal["cfa", "sem", "growth"] = "sem",
    **options: Unpack[FitKeywords],
) -> PooledFit:
    """Fit a model to imputed data sets and pool the results.

    Parameters
    ----------
    model : str
        Model text.
    frames : sequence of DataFrame
        At least two completed data sets with the same rows, from :func:`impute` or any other
        program.
    function : {"cfa", "sem", "growth"}
    **options
        As for :func:`sqvalid.sem`; any estimator.

    Returns
    -------
    PooledFit
        Of the data sets in which the model converged; the others are counted.

    Raises
    ------
    InputError
        Fewer than two data sets, or data sets of different size.
    EstimationError
        The model converged in fewer than two of them.

    References
    ----------
    Rubin (1987), Multiple imputation for nonresponse in surveys.
    """
    check_choice("function", function, _FUNCTIONS)
    frames = list(frames)
    if len(frames) < 2:
        raise InputError(f"There are {len(frames)} imputed data sets.", remedy="Give two or more.")
    sizes = {len(frame) for frame in frames}
    if len(sizes) > 1:
        raise InputError(f"The imputed data sets have {sorted(sizes)} rows; they must be the same.")
    fit_one = _FUNCTIONS[function]
    fits, used, lost = [], [], []
    for number, frame in enumerate(frames, start=1):
        fit = fit_one(model, frame, **options)
        if fit.converged and np.isfinite(fit.estimate.vcov).all():
            fits.append(fit)
            used.append(frame)
        else:
            lost.append(number)
    if len(fits) < 2:
        raise EstimationError(
            f"The model converged in {len(fits)} of {len(frames)} imputed data sets."
        )
    diagnostics = []
    if lost:
        values = {"n": len(lost), "of": len(frames), "numbers": ", ".join(map(str, lost))}
        diagnostics.append(Diagnostic("imputations_lost", "warning", values=values))
    stacked = None
    if fits[0].estimate.problem.is_likelihood and isinstance(used[0], pd.DataFrame):
        try:
            stacked = fit_one(model, pd.concat(used, ignore_index=True), **options)
        except SqvalidError as error:
            told = {"reason": str(error).split("\n")[0]}
            diagnostics.append(Diagnostic("stacked_fit_failed", "info", values=told))
    return PooledFit(tuple(fits), stacked, len(frames), tuple(diagnostics))


def impute(
    data: pd.DataFrame,
    n_imputations: int = 20,
    *,
    items: Sequence[str] | None = None,
    group: str | None = None,
    seed: int = DEFAULT_SEED,
    max_iterations: int = 10,
) -> tuple[pd.DataFrame, ...]:
    """Completed data sets by chained equations.

    Every item is predicted from all others by Bayesian ridge regression, and missing answers are
    drawn from what that predicts; scikit-learn does the work (``IterativeImputer`` with
    ``sample_posterior=True``).

    Parameters
    ----------
    data : DataFrame
        Answers with gaps.
    n_imputations : int
    items : sequence of str, optional
        Columns to impute, from each other; all numeric ones by default. Other columns are
        copied.
    group : str, optional
        Column with groups that are imputed each from its own answers. A model that lets groups
        differ needs that: imputations from all together make groups more alike than they are.
    seed : int
        Every imputation has a stream of its own.
    max_iterations : int
        Rounds over all items.

    Returns
    -------
    tuple of DataFrame
        With the index and columns of `data`. Imputed answers are not rounded: rounding them
        biases variances (Horton, Lipsitz & Parzen, 2003).

    References
    ----------
    van Buuren & Groothuis-Oudshoorn (2011), Journal of Statistical Software 45(3).
    """
    if n_imputations < 2:
        raise OptionError(f"n_imputations={n_imputations!r} must be two or more.")
    names = list(data.select_dtypes("number").columns) if items is None else list(items)
    if group is not None:
        names = [name for name in names if name != group]
    absent = [name for name in (*names, group) if name is not None and name not in data.columns]
    if absent:
        raise InputError(f"The data have no columns {', '.join(map(repr, absent))}.")
    parts = _parts(data, group)
    for label, rows in parts.items():
        empty = [name for name in names if data[name].iloc[rows].isna().all()]
        if empty:
            of_group = f" in group {label!r}" if label else ""
            raise InputError(
                f"Nobody{of_group} answered {', '.join(map(repr, empty))}.",
                remedy="Leave these items out.",
            )
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    values = data[names].to_numpy(dtype=float)
    out = []
    for k in range(n_imputations):
        filled = values.copy()
        for draw, rows in zip(uniforms(seed, k, len(parts)), parts.values(), strict=True):
            # Its stopping rule is for single imputations, and warns when draws keep moving.
            machine = IterativeImputer(
                sample_posterior=True,
                max_iter=max_iterations,
                tol=0.0,
                random_state=int(draw * 2**32),
            )
            filled[rows] = _quietly(machine, values[rows])
        frame = data.copy()
        frame[names] = filled
        out.append(frame)
    return tuple(out)


def _parts(data: pd.DataFrame, group: str | None) -> dict[str, NDArray[np.intp]]:
    """Rows of every group by its label; all rows where there are no groups."""
    if group is None:
        return {"": np.arange(len(data))}
    codes, found = pd.factorize(data[group], sort=False)
    if (codes < 0).any():
        raise InputError(
            f"{int((codes < 0).sum())} respondents have no group in {group!r}.",
            remedy="Leave them out, or impute without group=.",
        )
    return {str(label): np.flatnonzero(codes == code) for code, label in enumerate(found)}


def _quietly(machine: Any, values: Array) -> Array:
    """Impute; draws never settle, which is no reason for a warning."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(machine.fit_transform(values))
