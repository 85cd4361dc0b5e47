"""The public functions: cfa, sem, growth, fit_model."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from sqvalid import wording
from sqvalid.errors import (
    ConvergenceWarning,
    Diagnostic,
    InadmissibleSolutionWarning,
    InputError,
    OptionError,
    UnsupportedError,
    check_choice,
)
from sqvalid.latent.estimation import Estimate, estimate
from sqvalid.latent.implied import Array
from sqvalid.latent.options import (
    AUTOMATIC,
    BOUNDS,
    PARAMETERIZATIONS,
    FitOptions,
    as_tuple,
    resolve_draws,
    resolve_estimator,
    resolve_missing,
    sampling_estimator,
    table_options,
)
from sqvalid.latent.ordered import find_ordered
from sqvalid.latent.parameter_table import find_roles
from sqvalid.latent.problem import make_structure
from sqvalid.latent.result import FitResult
from sqvalid.latent.sampling import sampling_diagnostics
from sqvalid.latent.syntax import ModelSpec, format_model, parse_model
from sqvalid.latent.threads import single_thread
from sqvalid.latent.trouble import find_trouble
from sqvalid.moments import Moments, moments_from_frame, moments_from_matrices

DEFAULT_SEED = 19880101


class FitKeywords(TypedDict, total=False):
    """Options of :func:`cfa`, :func:`sem`, :func:`growth` and :func:`fit_model`."""

    estimator: str
    missing: str
    ordered: Any
    parameterization: str
    conditional_x: bool | None
    group: str | None
    group_equal: str | Sequence[str]
    group_partial: str | Sequence[str]
    std_lv: bool
    effect_coding: bool | str | Sequence[str]
    meanstructure: bool | None
    fixed_x: bool | None
    orthogonal: bool
    likelihood: str
    bounds: str
    se: str | None
    test: str | Sequence[str] | None
    information: str | None
    h1_information: str | None
    bootstrap: int | None
    seed: int
    start: Any
    max_iterations: int
    cov: Any
    mean: Any
    n_obs: Any
    sample_cov_rescale: bool
    cluster: str | None
    sampling_weights: str | None
    auxiliary: str | Sequence[str]
    rotation: str | None
    rotation_options: Mapping[str, Any] | None
    auto_fix_first: bool | None
    auto_fix_single: bool | None
    auto_var: bool | None
    auto_cov_lv_x: bool | None
    auto_cov_y: bool | None
    int_ov_free: bool | None
    int_lv_free: bool | None


# Options that exist, with the one value that is available until their method is built.
_NOT_YET: Mapping[str, tuple[Any, ...]] = {
    "rotation": (None,),
    "rotation_options": (None,),
}


def _check_keywords(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in FitKeywords.__annotations__:
            check_choice("option", name, FitKeywords.__annotations__)
    for name, available in _NOT_YET.items():
        if name in options:
            value = options[name]
            empty = isinstance(value, (list, tuple, dict)) and len(value) == 0
            if not empty and not any(value is item or value == item for item in available):
                raise UnsupportedError(f"{name}={value!r} is not available yet.")


def _as_frame(data: Any, names: Sequence[str]) -> pd.DataFrame:
    """The columns `names` of a frame of any kind, as far as they are there."""
    if isinstance(data, pd.DataFrame):
        return data
    survey = sys.modules.get("sqvalid.survey")
    if survey is not None and isinstance(data, survey.Survey):
        frame: pd.DataFrame = data.frame
        return frame
    import narwhals as nw

    try:
        native = nw.from_native(data, eager_only=True)
    except TypeError:
        raise InputError(
            f"data is a {type(data).__name__}.",
            remedy="Give a pandas or polars frame, a Survey, or Moments.",
        ) from None
    return pd.DataFrame(
        {name: native[name].to_list() for name in native.columns if name in set(names)}
    )


def _moments(
    data: Any,
    spec: ModelSpec,
    group: str | None,
    options: Mapping[str, Any],
    *,
    missing: str,
    fixed_x: bool,
    ordered: Sequence[str],
    conditional: Sequence[str],
) -> Moments:
    variables = model_variables(spec)
    cov = options.get("cov")
    if (data is None) == (cov is None):
        raise InputError(
            "There are no data." if data is None else "There are both data and a matrix.",
            remedy="Give either data, or cov= with n_obs=.",
        )
    if cov is not None:
        if ordered:
            raise UnsupportedError("Ordered answers need the data; a matrix is not enough.")
        if options.get("n_obs") is None:
            raise InputError(
                "A covariance matrix needs the number of respondents behind it.",
                remedy="Give n_obs=.",
            )
        divisor = "n-1" if options.get("sample_cov_rescale", True) else "n"
        return moments_from_matrices(
            cov,
            options["n_obs"],
            mean=options.get("mean"),
            divisor=divisor,
            group_variable=group or "group",
        )
    if isinstance(data, Moments):
        if missing == "listwise" and any(block.patterns is not None for block in data.blocks):
            raise OptionError(
                "The moments are of incomplete answers.", remedy="Give missing='fiml'."
            )
        return data
    columns = {
        name: options[key]
        for name, key in (("cluster", "cluster"), ("weights", "sampling_weights"))
        if options.get(key) is not None
    }
    for key in columns.values():
        if not isinstance(key, str):
            raise OptionError(f"{key!r} is not the name of a column.")
    wanted = [*variables, *([group] if group else []), *columns.values()]
    if ordered:
        return moments_from_frame(
            _as_frame(data, wanted),
            variables,
            group=group,
            ordered=ordered,
            pairwise=missing == "pairwise",
            given=_covariates(spec),
            conditional=conditional,
            **columns,
        )
    return moments_from_frame(
        _as_frame(data, wanted),
        variables,
        group=group,
        incomplete=missing != "listwise",
        given=_covariates(spec) if fixed_x and missing != "fiml.x" else (),
        **columns,
    )


def _covariates(spec: ModelSpec) -> tuple[str, ...]:
    """Exogenous covariates of a model, whose distribution is not part of it when fixed."""
    names: dict[str, None] = {}
    for block in dict.fromkeys(term.block for term in spec.terms):
        roles = find_roles([term for term in spec.terms if term.block == block])
        names |= dict.fromkeys(roles.exogenous_observed)
    return tuple(names)


def _sampling_columns(data: Any, options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Columns with the clusters and the weights, which prepared moments bring along."""
    out = []
    for key, known in (("cluster", "cluster_variable"), ("sampling_weights", "weight_variable")):
        asked = options.get(key)
        if options.get("cov") is not None and asked is not None:
            raise UnsupportedError(f"{key}= needs the answers; a matrix is not enough.")
        if isinstance(data, Moments):
            found = getattr(data, known)
            if asked is not None and asked != found:
                raise OptionError(
                    f"{key}={asked!r}, but the moments were computed with {found!r}.",
                    remedy=f"Give {key}= where the moments are computed.",
                )
            asked = found
        out.append(asked)
    return out[0], out[1]


def _has_means(
    spec: ModelSpec,
    function: str,
    options: Mapping[str, Any],
    moments: Moments,
    *,
    incomplete: bool,
) -> bool:
    asked = options.get("meanstructure")
    available = all(block.means is not None for block in moments.blocks)
    if any(block.clusters is not None for block in moments.blocks):
        # As in lavaan: the sums of the deviations in a cluster are scores of the means.
        return True
    if any(block.thresholds is not None for block in moments.blocks):
        return True
    if incomplete:
        if asked is not None and not asked:
            raise OptionError(
                "Missing answers are estimated with the means.", remedy="Leave meanstructure= out."
            )
        return True
    if asked is not None:
        return bool(asked)
    implied = (
        any(term.op == "~1" for term in spec.terms)
        or function == "growth"
        or "intercepts" in as_tuple(options.get("effect_coding"))
        or bool({"intercepts", "means"} & set(as_tuple(options.get("group_equal"))))
    )
    return implied or (available and (len(moments.blocks) > 1 or options.get("mean") is not None))


def _fit(function: str, model: str | ModelSpec, data: Any, options: Mapping[str, Any]) -> FitResult:
    _check_keywords(options)
    text = format_model(model) if isinstance(model, ModelSpec) else model
    if not isinstance(text, str):
        raise InputError(f"The model is a {type(model).__name__}; it must be text.")
    spec = parse_model(text)
    missing = resolve_missing(str(options.get("missing", "listwise")))
    helpers = as_tuple(options.get("auxiliary"))
    if helpers:
        text = _with_auxiliary(text, spec, helpers, missing)
        spec = parse_model(text)
    cluster, weights = _sampling_columns(data, options)
    covariates = _covariates(spec)
    asked = options.get("estimator")
    ordered, told = find_ordered(
        options.get("ordered"), data, model_variables(spec), covariates, asked
    )
    estimator = sampling_estimator(
        str(asked or ("WLSMV" if ordered else "ML")),
        sampled=cluster is not None or weights is not None,
    )
    defaults, tests = resolve_estimator(
        estimator,
        options.get("se"),
        options.get("test"),
        options.get("information"),
        options.get("h1_information"),
        cluster=cluster,
        sampling_weights=weights,
        missing=missing,
        categorical=bool(ordered),
    )
    draws = resolve_draws(options.get("bootstrap"), tests, defaults.se)
    group = options.get("group")
    # Least squares have no conditional form: their covariates are random, as in lavaan.
    asked_x = options.get("fixed_x")
    fixed_x = defaults.discrepancy == "ML" if asked_x is None else bool(asked_x)
    conditional_x = _is_conditional(options, ordered, covariates)
    if ordered:
        fixed_x = conditional_x
    moments = _moments(
        data,
        spec,
        group,
        options,
        missing=missing,
        fixed_x=fixed_x,
        ordered=ordered,
        conditional=covariates if conditional_x else (),
    )
    if options.get("cov") is not None:
        missing = "listwise"
    start = options.get("start", "default")
    given = start if isinstance(start, str) else "given"
    check_choice("start", given, ("default", "simple", "random", "given"))
    resolved = FitOptions(
        function=function,
        estimator=estimator,
        likelihood=check_choice(
            "likelihood", options.get("likelihood", "normal"), ("normal", "wishart")
        ),
        discrepancy=defaults.discrepancy,
        se=defaults.se,
        tests=tests,
        information=defaults.information,
        h1_information=defaults.h1_information,
        missing=missing,
        meanstructure=_has_means(
            spec, function, options, moments, incomplete=missing != "listwise"
        ),
        fixed_x=fixed_x,
        std_lv=bool(options.get("std_lv", False)),
        orthogonal=bool(options.get("orthogonal", False)),
        effect_coding=as_tuple(options.get("effect_coding")),
        group_equal=tuple(k.replace(".", "_") for k in as_tuple(options.get("group_equal"))),
        group_partial=as_tuple(options.get("group_partial")),
        bounds=check_choice("bounds", options.get("bounds", "none"), BOUNDS),
        start=given,
        seed=int(options.get("seed", DEFAULT_SEED)),
        max_iterations=int(options.get("max_iterations", 300)),
        sample_cov_rescale=bool(options.get("sample_cov_rescale", True)),
        cluster=cluster,
        sampling_weights=weights,
        bootstrap=draws,
        auxiliary=helpers,
        ordered=ordered,
        parameterization=check_choice(
            "parameterization", str(options.get("parameterization") or "delta"), PARAMETERIZATIONS
        ),
        conditional_x=conditional_x,
    )
    if resolved.likelihood == "wishart" and resolved.estimator != "ML":
        raise OptionError("likelihood='wishart' goes with estimator='ML' only.")
    structure = make_structure(
        text,
        table_options(
            function,
            {name: options.get(name) for name in AUTOMATIC},
            std_lv=resolved.std_lv,
            orthogonal=resolved.orthogonal,
            meanstructure=resolved.meanstructure,
            fixed_x=resolved.fixed_x,
            effect_coding=resolved.effect_coding,
            group_equal=resolved.group_equal,
            group_partial=resolved.group_partial,
            ordered=_threshold_counts(moments, ordered),
            parameterization=resolved.parameterization,
        ),
        moments.group_labels,
    )
    with single_thread():
        result = estimate(
            structure, moments, resolved, _start_vector(start, structure.table.n_free)
        )
    diagnostics = (
        *told,
        *_unturned(data, structure.table.variables),
        *sampling_diagnostics(moments, result.n_free),
        *_gaps(moments),
        *find_trouble(result),
    )
    if resolved.se == "bootstrap":
        result, more = _with_resamples(FitResult(text, result, moments, diagnostics))
        diagnostics += more
    _warn(diagnostics)
    return FitResult(text, result, moments, diagnostics)


def _with_resamples(fit: FitResult) -> tuple[Estimate, tuple[Diagnostic, ...]]:
    """Standard errors from resamples: the covariance of their estimates, with divisor R as lavaan.

    Returns
    -------
    estimate : Estimate
        Without a covariance of the estimates where the model did not converge.
    diagnostics : tuple of Diagnostic
        Which resamples were lost.
    """
    from sqvalid.latent.bootstrap import bootstrap_fit

    estimate, options = fit.estimate, fit.estimate.options
    if not fit.converged:
        return replace(estimate, vcov=np.full_like(estimate.vcov, np.nan)), ()
    assert options.bootstrap is not None
    drawn = bootstrap_fit(fit, options.bootstrap, seed=options.seed)
    kept = drawn.estimates.theta[drawn.estimates.converged]
    rows = drawn.draws().to_numpy(dtype=np.float64)
    rows.flags.writeable = False
    vcov = np.atleast_2d(np.cov(kept, rowvar=False, bias=True))
    # That a resample is inadmissible is a matter of the resample; the fit tells of itself.
    lost = tuple(d for d in drawn.diagnostics if d.code == "bootstrap_draws_lost")
    return replace(estimate, vcov=vcov, row_draws=rows), lost


def _is_conditional(
    options: Mapping[str, Any], ordered: Sequence[str], covariates: Sequence[str]
) -> bool:
    """Whether statistics are those given the covariates, as in lavaan for ordered answers."""
    asked = options.get("conditional_x")
    if not ordered:
        if asked:
            raise UnsupportedError(
                "conditional_x=True goes with ordered answers only.",
                remedy="Leave it out: covariates of numeric outcomes are fixed, which is the same.",
            )
        return False
    if asked is None:
        asked = options.get("fixed_x") is not False
    return bool(asked and covariates)


def _threshold_counts(moments: Moments, ordered: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Thresholds of every ordered item: one less than its categories."""
    if not ordered:
        return ()
    block = moments.blocks[0]
    place = {name: j for j, name in enumerate(block.variables)}
    counts = []
    for name in ordered:
        level = block.levels[place[name]]
        assert level is not None
        counts.append((name, len(level) - 1))
    return tuple(counts)


def _with_auxiliary(text: str, spec: ModelSpec, names: Sequence[str], missing: str) -> str:
    """The model with variables that correlate with everything that the model leaves unexplained.

    References
    ----------
    Graham (2003), Structural Equation Modeling 10 (saturated correlates).
    """
    if missing == "listwise":
        raise OptionError(
            "auxiliary= helps with missing answers only.", remedy="Give missing='fiml' as well."
        )
    if len({term.block for term in spec.terms}) > 1:
        raise UnsupportedError("auxiliary= is not available for models with blocks.")
    known = model_variables(spec)
    both = [name for name in names if name in known]
    if both:
        raise OptionError(f"The model has {', '.join(both)} already: it cannot be auxiliary.")
    lines = [f"{name} ~~ {' + '.join((*names[k:], *known))}" for k, name in enumerate(names)]
    return "\n".join((text, *lines))


def _gaps(moments: Moments) -> tuple[Diagnostic, ...]:
    """Tell who was left out although incomplete answers were kept, and what they leave open."""
    found = []
    for code, n in (
        ("rows_without_answers", moments.n_without_answers),
        ("rows_without_covariate", moments.n_without_covariate),
    ):
        if n:
            found.append(Diagnostic(code, "warning", values={"n": n}))
    for block in moments.blocks:
        if not block.is_settled:
            where = (block.group,) if block.group else ()
            found.append(Diagnostic("moments_at_the_edge", "warning", where, {"n": block.n_obs}))
        if (
            block.patterns is None
            or not (pairs := np.argwhere(np.tril(block.patterns.undetermined))).size
        ):
            continue
        shown = [f"{block.variables[j]}-{block.variables[i]}" for i, j in pairs[:3]]
        values = {"n": len(pairs), "pairs": ", ".join(shown), "group": block.group}
        found.append(Diagnostic("pairs_never_answered_together", "warning", tuple(shown), values))
    return tuple(found)


def _unturned(data: Any, variables: Sequence[str]) -> tuple[Diagnostic, ...]:
    """Tell when a Survey's reverse-worded items went into the model as they were ticked."""
    items = sorted(set(getattr(data, "unturned_items", ())) & set(variables))
    if not items:
        return ()
    values = {"items": ", ".join(items)}
    return (Diagnostic("reverse_items_not_turned", "warning", tuple(items), values),)


def model_variables(model: str | ModelSpec) -> tuple[str, ...]:
    """Observed variables of a model, in the order of its matrices.

    Parameters
    ----------
    model : str or ModelSpec
        Model text in lavaan's language.

    Raises
    ------
    ModelSyntaxError
        The text does not follow the grammar.

    Examples
    --------
    >>> model_variables("f =~ x1 + x2; f ~ age")
    ('x1', 'x2', 'age')
    """
    spec = parse_model(model) if isinstance(model, str) else model
    names: dict[str, None] = {}
    for block in dict.fromkeys(term.block for term in spec.terms):
        roles = find_roles([term for term in spec.terms if term.block == block])
        names |= dict.fromkeys(roles.observed)
    return tuple(names)


def _start_vector(start: Any, n_free: int) -> Array | None:
    if isinstance(start, str):
        return None
    if isinstance(start, FitResult):
        return start.estimate.theta
    values = np.asarray(start, dtype=np.float64)
    if values.shape != (n_free,) or not np.isfinite(values).all():
        raise OptionError(
            f"start must have {n_free} numbers, one per free parameter; it has shape "
            f"{values.shape}."
        )
    return values


def _warn(diagnostics: Sequence[Diagnostic]) -> None:
    for diagnostic in diagnostics:
        if diagnostic.severity != "problem":
            continue
        kind = (
            ConvergenceWarning
            if diagnostic.code == "not_converged"
            else InadmissibleSolutionWarning
        )
        sentence, remedy = wording.describe(diagnostic, "en")
        warnings.warn(f"{sentence} {remedy}", kind, stacklevel=4)


def cfa(model: str | ModelSpec, data: Any = None, **options: Unpack[FitKeywords]) -> FitResult:
    """Confirmatory factor analysis.

    Parameters
    ----------
    model : str or ModelSpec
        Model text in lavaan's language, e.g. ``"TAN =~ P1 + P2 + P3"``. The first indicator
        of a factor is its marker unless ``std_lv`` or ``effect_coding`` says otherwise,
        factors correlate.
    data : DataFrame, Survey or Moments, optional
        Answers, one row per respondent; rows with a missing answer are left out and counted,
        unless ``missing="fiml"`` keeps them (full-information maximum likelihood, for answers
        missing at random; respondents without a fixed covariate only with ``"fiml.x"``, which
        takes covariates and answers as normal together). Or give a matrix: ``cov=``,
        ``n_obs=`` and perhaps ``mean=``.
    **options
        ``estimator`` ("ML", "MLM", "MLMV", "MLMVS", "MLR", "MLF", "GLS", "ULS", "ULSM",
        "ULSMV", "WLS", "DWLS", "WLSM", "WLSMV", "WLSMVS"), ``group``, ``group_equal``,
        ``group_partial``, ``ordered`` (names of items whose answers are ordered categories, or
        True for all; by default columns of an ordered type, and items of an instrument with
        fewer than five categories; the estimator is then "WLSMV" unless another is named),
        ``parameterization`` ("delta", "theta"), ``conditional_x``, ``missing``,
        ``std_lv``, ``effect_coding``, ``meanstructure``, ``fixed_x``, ``orthogonal``,
        ``likelihood`` ("normal", "wishart"), ``bounds`` ("none", "pos.var"), ``se``, ``test``,
        ``information`` ("expected", "observed", "first.order"), ``start``, ``seed``,
        ``cov``, ``mean``, ``n_obs``, ``sample_cov_rescale``. ``cluster`` names the column of
        the clusters (branches, schools) that respondents were drawn in, ``sampling_weights``
        the one of their weights; both mean robust statistics (MLR). ``bootstrap`` is the
        number of draws of ``se="bootstrap"`` (whose intervals are percentile ones) and of
        ``test="bollen.stine"``. ``auxiliary`` names variables that tell
        something about missing answers without being part of the model.

    Returns
    -------
    FitResult

    Raises
    ------
    ModelError, IdentificationError
        The model cannot be read, or has more parameters than the data have moments.
    InputError
        The data cannot be used.
    UnsupportedError
        A method that is not available.

    References
    ----------
    Joreskog (1969), Psychometrika 34, 183-202. Defaults as lavaan (Rosseel, 2012).
    """
    return _fit("cfa", model, data, options)


def sem(model: str | ModelSpec, data: Any = None, **options: Unpack[FitKeywords]) -> FitResult:
    """Structural equation model: measurement and regressions among latent or observed variables.

    Parameters and returns as :func:`cfa`. Covariates are fixed at their sample moments unless
    ``fixed_x=False``; residuals of outcomes that predict nothing correlate.

    References
    ----------
    Bollen (1989), Structural Equations with Latent Variables.
    """
    return _fit("sem", model, data, options)


def growth(model: str | ModelSpec, data: Any = None, **options: Unpack[FitKeywords]) -> FitResult:
    """Growth model: intercepts of the items are zero, means of the factors free.

    Parameters and returns as :func:`cfa`.

    References
    ----------
    Meredith & Tisak (1990), Psychometrika 55, 107-122.
    """
    return _fit("growth", model, data, options)


def fit_model(
    model: str | ModelSpec, data: Any = None, **options: Unpack[FitKeywords]
) -> FitResult:
    """Fit a model without automatic parameters, as lavaan's ``lavaan()``.

    Parameters and returns as :func:`cfa`, and the switches ``auto_fix_first``,
    ``auto_fix_single``, ``auto_var``, ``auto_cov_lv_x``, ``auto_cov_y``, ``int_ov_free``,
    ``int_lv_free``, all off.
    """
    return _fit("fit_model", model, data, options)
