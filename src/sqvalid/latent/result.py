"""The result of a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from sqvalid.display import Result, Table
from sqvalid.errors import Diagnostic, UnsupportedError, check_choice
from sqvalid.latent import fit_indices, global_fit, local_fit, parameter_frames
from sqvalid.latent.categorical import OrdinalLocal, OrdinalTarget
from sqvalid.latent.categorical_fit import numeric_means, ordinal_residuals, threshold_series
from sqvalid.latent.estimation import Estimate
from sqvalid.latent.fourth_moments import has_only_gamma
from sqvalid.latent.implied import MATRICES, Array
from sqvalid.latent.inference import InformationKind, constrained_inverse, information_matrix
from sqvalid.latent.options import FitOptions
from sqvalid.latent.parameter_table import ParameterTable
from sqvalid.latent.reference_models import Baseline
from sqvalid.latent.residual_averages import GroupMoments
from sqvalid.latent.residuals import Residuals
from sqvalid.latent.score_frame import score_frame
from sqvalid.latent.standardize import Deviations
from sqvalid.latent.threads import single_thread
from sqvalid.moments import Moments

_T = TypeVar("_T")


@dataclass(frozen=True, repr=False, eq=False)
class FitResult(Result):
    """A fitted model.

    Made by :func:`sqvalid.cfa`, :func:`sqvalid.sem`, :func:`sqvalid.growth` and
    :func:`sqvalid.fit_model`. Names and numbers are lavaan's. Quantities per group are a
    frame for one group and a dictionary label -> frame for several.
    """

    model_text: str
    estimate: Estimate
    moments: Moments
    diagnostics: tuple[Diagnostic, ...]

    # -- what it is ---------------------------------------------------------------------

    @property
    def table(self) -> ParameterTable:
        """The parameter table."""
        return self.estimate.problem.table

    @property
    def fit_options(self) -> FitOptions:
        """Resolved options."""
        return self.estimate.options

    @property
    def options(self) -> dict[str, Any]:
        """Resolved options by name."""
        return self.estimate.options.as_dict()

    @property
    def n_obs(self) -> int:
        """Respondents used."""
        return self.moments.n_obs

    @property
    def n_received(self) -> int:
        """Rows of the input, incomplete ones included."""
        return self.moments.n_received

    @property
    def n_obs_by_group(self) -> dict[str, int]:
        """Respondents used per group."""
        return {block.group: block.n_obs for block in self.moments.blocks}

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Groups in order; one empty label when there are none."""
        return self.moments.group_labels

    @property
    def group_variable(self) -> str | None:
        """Column that made the groups."""
        return self.moments.group_variable

    @property
    def observed(self) -> tuple[str, ...]:
        """Observed variables."""
        return self.table.variables

    @property
    def latents(self) -> tuple[str, ...]:
        """Latent variables of the first group."""
        return self.table.latents[0]

    @property
    def indicators(self) -> dict[str, tuple[str, ...]]:
        """Factor -> what it is measured by (items or lower-order factors), first group."""
        return {
            latent: tuple(
                row.rhs
                for row in self.table.rows
                if row.group == 1 and row.op == "=~" and row.lhs == latent
            )
            for latent in self.latents
        }

    @property
    def n_free(self) -> int:
        """Free rows of the table, before equality constraints; order of `vcov`."""
        return self.table.n_free

    @property
    def df(self) -> int:
        """Degrees of freedom."""
        return self.estimate.problem.df

    @property
    def converged(self) -> bool:
        """Whether the gradient criterion is met and all constraints hold."""
        return self.estimate.solution.converged

    @property
    def admissible(self) -> bool:
        """Whether it converged to values that a population could have."""
        return self.converged and not any(d.severity == "problem" for d in self.diagnostics)

    @property
    def gradient_norm(self) -> float:
        """sqrt(g' I^-1 g) per observation at the solution; scale-free."""
        return self.estimate.solution.gradient_norm

    @property
    def n_iterations(self) -> int:
        """Iterations of the successful set of start values."""
        return self.estimate.solution.n_iterations

    @property
    def baseline(self) -> Baseline:
        """The independence model."""
        return self.estimate.baseline

    @property
    def constraints(self) -> tuple[str, ...]:
        """Constraints, the ones that labels imply included."""
        return self.estimate.problem.constraints.texts

    def _per_group(self, make: Callable[[int], _T]) -> _T | dict[str, _T]:
        if len(self.group_labels) == 1:
            return make(0)
        return {label: make(g) for g, label in enumerate(self.group_labels)}

    # -- parameters ---------------------------------------------------------------------

    @cached_property
    def _values(self) -> Array:
        return parameter_frames.row_values(self.estimate)

    @cached_property
    def _deviations(self) -> list[Deviations]:
        return parameter_frames.group_deviations(self.estimate, self._values)

    @property
    def coef(self) -> pd.Series:
        """Free parameters by name."""
        return pd.Series(self.estimate.theta, index=[r.name for r in self.table.free_rows()])

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the estimates, in the order of `coef`."""
        names = [row.name for row in self.table.free_rows()]
        return pd.DataFrame(self.estimate.vcov, index=names, columns=names)

    @cached_property
    def _row_columns(self) -> dict[str, list[Any]]:
        return parameter_frames.row_columns(self.table)

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """All parameters: estimates, standard errors, intervals, standardised values."""
        est, se = parameter_frames.estimates_and_errors(self.estimate, self._values)
        inference = parameter_frames.with_inference(est, se)
        if self.estimate.row_draws is not None:
            inference = parameter_frames.resampled_inference(self.estimate, inference)
        columns: dict[str, Any] = self._row_columns | inference
        columns["std_lv"] = self._standardised("lv")[0]
        columns["std_all"] = self._standardised("all")[0]
        return pd.DataFrame(columns)

    @cached_property
    def _standard_cache(self) -> dict[str, tuple[Array, Array]]:
        return {}

    def _standardised(self, kind: str) -> tuple[Array, Array]:
        """Standardised rows and their Jacobian, computed once per kind."""
        check_choice("kind", kind, ("all", "lv", "nox"))
        if kind not in self._standard_cache:
            with single_thread():
                self._standard_cache[kind] = parameter_frames.standardised(
                    self.estimate,
                    self._values,
                    self._deviations,
                    kind,  # type: ignore[arg-type]
                )
        return self._standard_cache[kind]

    def standardized(self, kind: str = "all") -> pd.DataFrame:
        """Standardised solution with delta-method standard errors.

        Parameters
        ----------
        kind : {"all", "lv", "nox"}
            Standardise all variables, the latent ones, or all but fixed covariates.

        Returns
        -------
        pandas.DataFrame
            Columns of `parameters`, with the standardised value in ``est``.
        """
        values, jacobian = self._standardised(kind)
        se = parameter_frames.standard_errors(jacobian, self.estimate.vcov)
        return pd.DataFrame(self._row_columns | parameter_frames.with_inference(values, se))

    def standardized_jacobian(self, kind: str = "all") -> Array:
        """Derivatives of the standardised rows, shape (n_rows, n_free)."""
        return self._standardised(kind)[1].copy()

    # -- fit ----------------------------------------------------------------------------

    @cached_property
    def _group_moments(self) -> tuple[GroupMoments, ...]:
        return local_fit.group_moments(self.estimate)

    @cached_property
    def _fit_inputs(self) -> fit_indices.FitInputs:
        return global_fit.fit_inputs(self.estimate, self._group_moments)

    @cached_property
    def fit_measures(self) -> pd.Series:
        """Fit measures under lavaan's names; NaN where one is not defined."""
        with single_thread():
            return pd.Series(fit_indices.collect(self._fit_inputs), dtype=float)

    @property
    def fit_measures_undefined(self) -> dict[str, str]:
        """Why fit measures are NaN, by name."""
        return fit_indices.undefined(self._fit_inputs, fit_indices.collect(self._fit_inputs))

    @property
    def tests(self) -> dict[str, dict[str, float]]:
        """Test statistics: stat, df, pvalue, and scaling_factor of a scaled one.

        ``bollen.stine`` has the standard statistic with its bootstrap p-value, and the number
        of draws and of those that failed.
        """
        return global_fit.test_rows(self.estimate)

    def information(self, kind: str = "expected") -> pd.DataFrame:
        """Information per observation: expected, observed or first.order."""
        check_choice("kind", kind, ("expected", "observed", "first.order"))
        problem = self.estimate.problem
        if kind == "first.order" and any(
            b.cases is None and not has_only_gamma(b) for b in problem.blocks
        ):
            raise UnsupportedError("First-order information needs the answers, not a matrix.")
        info: InformationKind = kind  # type: ignore[assignment]
        matrix = information_matrix(
            info,
            problem.objective,
            self.estimate.locals_,
            problem.blocks,
            self.fit_options.h1_information,
        )
        names = [row.name for row in self.table.free_rows()]
        return pd.DataFrame(matrix, index=names, columns=names)

    def modification_indices(self, *, sort: bool = True) -> pd.DataFrame:
        """Modification indices with expected parameter changes.

        Parameters
        ----------
        sort : bool
            Largest first; False keeps the order of the model.

        Returns
        -------
        pandas.DataFrame
            lhs, op, rhs, group, mi, epc, sepc_lv, sepc_all, sepc_nox. Parameters that the data
            cannot tell from free ones are left out.
        """
        with single_thread():
            columns = parameter_frames.modification_columns(self.estimate, self._deviations)
        frame = pd.DataFrame(columns).dropna(subset="mi")
        if sort:
            frame = frame.sort_values("mi", ascending=False, kind="stable")
        return frame.reset_index(drop=True)

    # -- moments ------------------------------------------------------------------------

    def _frame(self, g: int, matrix: Array) -> pd.DataFrame:
        names = self._modelled(g)
        if len(matrix) > len(names):
            keep = [j for j, name in enumerate(self.table.observed[g]) if name in set(names)]
            matrix = matrix[np.ix_(keep, keep)]
        return pd.DataFrame(matrix, index=names, columns=names)

    @property
    def sample(self) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Sample covariance matrices, divisor N (N - 1 under the Wishart likelihood)."""
        targets = self.estimate.problem.objective.targets
        return self._per_group(lambda g: self._frame(g, targets[g].covariance))

    @property
    def implied(self) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Implied covariance matrices; correlations where items are ordered."""
        return self._per_group(
            lambda g: self._frame(g, self.estimate.locals_[g].implied_covariance)
        )

    @property
    def sample_means(self) -> pd.Series | dict[str, pd.Series]:
        """Sample means; NaN when only a covariance matrix was given."""
        blocks = self.estimate.problem.blocks

        def one(g: int) -> pd.Series:
            means = blocks[g].means
            values = np.full(blocks[g].n_variables, np.nan) if means is None else means
            return pd.Series(values, index=list(self.table.observed[g]))

        return self._per_group(one)

    @property
    def implied_means(self) -> pd.Series | dict[str, pd.Series]:
        """Implied means; the sample's where the model has no mean structure."""
        if not self.fit_options.meanstructure:
            return self.sample_means
        return self._per_group(
            lambda g: pd.Series(
                self.estimate.locals_[g].state.mu, index=list(self.table.observed[g])
            )
        )

    def _latent(self, g: int, matrix: Array) -> pd.DataFrame:
        names = list(self.table.latents[g])
        return pd.DataFrame(matrix[: len(names), : len(names)], index=names, columns=names)

    @property
    def latent_covariance(self) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Covariances of the latent variables."""
        return self._per_group(lambda g: self._latent(g, self.estimate.states[g].phi))

    @property
    def latent_correlation(self) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Correlations of the latent variables."""

        def one(g: int) -> pd.DataFrame:
            phi = self.estimate.states[g].phi
            variance = np.diag(phi)
            sd = np.sqrt(np.where(variance > 0, variance, np.nan))
            return self._latent(g, phi / np.outer(sd, sd))

        return self._per_group(one)

    @property
    def latent_means(self) -> pd.Series | dict[str, pd.Series]:
        """Means of the latent variables."""

        def one(g: int) -> pd.Series:
            names = list(self.table.latents[g])
            return pd.Series(self._factor_means(g)[: len(names)], index=names)

        return self._per_group(one)

    def _factor_means(self, g: int) -> Array:
        """Means of all factors; without a mean structure covariates keep their sample means."""
        state = self.estimate.states[g]
        block = self.estimate.problem.blocks[g]
        if self.fit_options.meanstructure or block.means is None:
            return state.eta
        factors = self.estimate.problem.slots[g].layout.factors
        exogenous = set(self.table.exogenous[g])
        place = {name: j for j, name in enumerate(block.variables)}
        alpha = np.array(
            [block.means[place[name]] if name in exogenous else 0.0 for name in factors]
        )
        return np.asarray(state.a_matrix @ alpha)

    @property
    def matrices(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Model matrices per group: lambda, theta, psi, beta, nu, alpha."""
        out = {}
        for label, slots, local in zip(
            self.group_labels, self.estimate.problem.slots, self.estimate.locals_, strict=True
        ):
            observed, factors = list(slots.layout.observed), list(slots.layout.factors)
            index = {"lambda": observed, "theta": observed, "nu": observed, "delta": observed}
            index["tau"] = list(slots.layout.thresholds)
            columns = {"lambda": factors, "theta": observed, "psi": factors, "beta": factors}
            out[label] = {
                str(name): pd.DataFrame(
                    local.state.matrices[name],
                    index=index.get(name, factors),
                    columns=columns.get(name, ["intercept"]),
                )
                for name in MATRICES
            }
        return out

    @cached_property
    def r_squared(self) -> pd.Series | dict[str, pd.Series]:
        """Explained share of the variance of every dependent variable."""

        def one(g: int) -> pd.Series:
            dev = self._deviations[g]
            rows = [row for row in self.table.rows if row.group == g + 1]
            dependent = dict.fromkeys(
                row.rhs if row.op == "=~" else row.lhs for row in rows if row.op in ("=~", "~")
            )
            values = {}
            for name in (*self.table.observed[g], *self.table.latents[g]):
                if name in dependent:
                    residual = dev.residual.get(name, (0.0, -1))[0]
                    total = dev.sd[name] ** 2
                    # A negative residual variance explains nothing: undefined, not above one.
                    defined = total > 0 and residual >= 0
                    values[name] = 1.0 - residual / total if defined else np.nan
            return pd.Series(values, dtype=float)

        return self._per_group(one)

    # -- residuals ----------------------------------------------------------------------

    def _residuals(self, kind: str) -> list[Residuals]:
        check_choice("kind", kind, local_fit.RESIDUAL_KINDS)
        return local_fit.residuals(self.estimate, self._group_moments, kind)

    def residuals(self, kind: str = "raw") -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Residuals of variances and covariances.

        Parameters
        ----------
        kind : {"raw", "cor", "cor.bentler", "normalized", "standardized"}
            ``cor`` is Bollen's difference of correlations, ``standardized`` are z-values.
        """
        found = self._residuals(kind)
        return self._per_group(lambda g: self._frame(g, found[g].covariance))

    def mean_residuals(self, kind: str = "raw") -> pd.Series | dict[str, pd.Series]:
        """Residuals of means; NaN where the model has no mean structure."""
        if self.fit_options.is_categorical:
            parts = ordinal_residuals(self.estimate, kind)
            return self._per_group(lambda g: numeric_means(self.estimate, g, parts[g][1]))
        found = self._residuals(kind)

        def one(g: int) -> pd.Series:
            names = list(self.table.observed[g])
            means = found[g].means
            return pd.Series(np.full(len(names), np.nan) if means is None else means, index=names)

        return self._per_group(one)

    def threshold_residuals(self, kind: str = "raw") -> pd.Series | dict[str, pd.Series]:
        """Residuals of the thresholds of ordered items, named ``item|t1``.

        Parameters
        ----------
        kind : {"raw", "cor", "cor.bentler", "normalized", "standardized"}
            As for :meth:`residuals`.
        """
        check_choice("kind", kind, local_fit.RESIDUAL_KINDS)
        if not self.fit_options.is_categorical:
            return self._per_group(lambda g: pd.Series(dtype=float))
        parts = ordinal_residuals(self.estimate, kind)
        return self._per_group(lambda g: threshold_series(self.estimate, g, parts[g][1]))

    def _modelled(self, g: int) -> list[str]:
        """Observed variables whose moments the model is about: all but given covariates."""
        names = list(self.table.observed[g])
        if self.estimate.problem.joint_slots is None:
            return names
        given = set(self.table.covariates[g])
        return [name for name in names if name not in given]

    @property
    def sample_thresholds(self) -> pd.Series | dict[str, pd.Series]:
        """Thresholds of ordered items in the sample, named ``item|t1``; empty without any."""
        return self._thresholds(lambda target, _: target.values)

    @property
    def implied_thresholds(self) -> pd.Series | dict[str, pd.Series]:
        """Thresholds of ordered items as the model implies them."""
        return self._thresholds(lambda _, local: local.values)

    def _thresholds(
        self, read: Callable[[OrdinalTarget, OrdinalLocal], Array]
    ) -> pd.Series | dict[str, pd.Series]:
        if not self.fit_options.is_categorical:
            return self._per_group(lambda g: pd.Series(dtype=float))

        def one(g: int) -> pd.Series:
            local = self.estimate.locals_[g].ordinal
            assert local is not None
            return threshold_series(self.estimate, g, read(local.target, local))

        return self._per_group(one)

    def residual_summary(self, kind: str = "cor.bentler") -> pd.DataFrame:
        """Root mean square residual with its error: interval, tests of exact and close fit.

        Parameters
        ----------
        kind : {"raw", "cor", "cor.bentler"}
            RMR, CRMR or SRMR.

        Returns
        -------
        pandas.DataFrame
            One column per part: cov, and mean and total where the model has means.

        References
        ----------
        Maydeu-Olivares (2017), Psychometrika 82.
        """
        check_choice("kind", kind, ("raw", "cor", "cor.bentler"))
        return pd.DataFrame(local_fit.summarise_residuals(self.estimate, self._group_moments, kind))

    # -- scores -------------------------------------------------------------------------

    def factor_scores(self, method: str = "regression") -> pd.DataFrame:
        """Factor scores of the respondents used.

        Parameters
        ----------
        method : {"regression", "bartlett"}

        Returns
        -------
        pandas.DataFrame
            One row per respondent, in the order and with the index of the input.
        """
        check_choice("method", method, ("regression", "bartlett"))
        return score_frame(
            self.estimate,
            self.moments,
            method,
            [self._factor_means(g) for g in range(len(self.group_labels))],
        )

    # -- inverse of the information, for tests that need it -------------------------------

    def expected_inverse(self) -> Array:
        """Inverse expected information per observation under the constraints, shape (q, q)."""
        expected = self.estimate.problem.objective.expected(self.estimate.weighting_locals)
        return constrained_inverse(expected, self.estimate.tangent).matrix

    # -- face ---------------------------------------------------------------------------

    def _headline(self) -> str:
        m = self.fit_measures
        state = "" if self.converged else ", not converged"
        state += ", inadmissible" if self.converged and not self.admissible else ""
        return (
            f"{self.fit_options.estimator}, n = {self.n_obs}, chi-square {m['chisq']:.3f} on "
            f"{self.df} df, CFI {m['cfi']:.3f}, RMSEA {m['rmsea']:.3f}, "
            f"SRMR {m['srmr']:.3f}{state}"
        )

    def to_frame(self) -> pd.DataFrame:
        """The parameters, tidy and in full precision."""
        return self.parameters.copy()

    def tables(self) -> tuple[Table, ...]:
        """The parameters and the main fit measures."""
        names = ["chisq", "df", "pvalue", "cfi", "tli", "rmsea", "srmr"]
        fit = self.fit_measures.reindex(names).to_frame("value").rename_axis("measure")
        return (Table(self.parameters), Table(fit.reset_index()))

    def _payload(self) -> Mapping[str, Any]:
        from sqvalid import __version__

        return {
            "version": __version__,
            "model": self.model_text,
            "options": self.options,
            "n_obs": self.n_obs_by_group,
            "n_received": self.n_received,
            "converged": self.converged,
            "admissible": self.admissible,
            "gradient_norm": self.gradient_norm,
            "fit_measures": self.fit_measures.to_dict(),
            "parameters": self.parameters,
        }

    def summary(
        self,
        *,
        standardized: bool = True,
        fit_measures: bool = True,
        r_squared: bool = True,
        modification_indices: bool = False,
        lang: str = "en",
    ) -> str:
        """The result as text, with everything a reader of lavaan's summary expects."""
        from sqvalid.latent.summary import format_summary

        return format_summary(
            self,
            standardized=standardized,
            fit_measures=fit_measures,
            r_squared=r_squared,
            modification_indices=modification_indices,
            lang=lang,
        )

    def plot(self, **options: Any) -> Any:
        """Path diagram of the model; returns a matplotlib Figure."""
        import importlib

        # The one door that opens upward: the picture of a result.
        return importlib.import_module("sqvalid.plots").path_diagram(self, **options)
