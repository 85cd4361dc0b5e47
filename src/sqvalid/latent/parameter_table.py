"""The parameter table: every parameter of a model, with lavaan's defaults filled in.

The table is the core representation of a model. Its rows keep lavaan's order, so that free
parameters carry the same numbers: first what the user wrote, then residual variances,
covariances of exogenous latents, residual covariances of outcomes, moments of exogenous
covariates, intercepts; group after group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations

from sqvalid.errors import ModelError, OptionError, UnsupportedError
from sqvalid.latent.implied_constraints import (
    effect_coding_constraints,
    equal_constraints,
    label_constraints,
)
from sqvalid.latent.syntax import (
    Constraint,
    Definition,
    ModelSpec,
    Term,
    parse_model,
)

GROUP_EQUAL = (
    "loadings",
    "intercepts",
    "residuals",
    "residual_covariances",
    "means",
    "thresholds",
    "regressions",
    "lv_variances",
    "lv_covariances",
)


@dataclass(frozen=True)
class TableOptions:
    """What decides the defaults of a table; lavaan's names with ``_`` for ``.``."""

    std_lv: bool = False
    auto_fix_first: bool = False
    auto_fix_single: bool = False
    auto_var: bool = False
    auto_cov_lv_x: bool = False
    auto_cov_y: bool = False
    int_ov_free: bool = False
    int_lv_free: bool = False
    orthogonal: bool = False
    meanstructure: bool = False
    fixed_x: bool = True
    effect_coding: tuple[str, ...] = ()
    group_equal: tuple[str, ...] = ()
    group_partial: tuple[str, ...] = ()
    # Ordered items with their numbers of thresholds.
    ordered: tuple[tuple[str, int], ...] = ()
    parameterization: str = "delta"

    @property
    def n_thresholds(self) -> dict[str, int]:
        """Thresholds of every ordered item."""
        return dict(self.ordered)


@dataclass(frozen=True)
class Row:
    """One parameter.

    `ustart` is the value a fixed parameter is held at, or the user's start value of a free
    one. `free` is 0 for a fixed parameter, else its number from 1. `exo` marks moments of
    fixed covariates, whose value comes from the sample. `user` is 1 for what the model text
    says, 0 for what was added.
    """

    lhs: str
    op: str
    rhs: str
    group: int
    free: int = 0
    label: str = ""
    ustart: float | None = None
    lower: float | None = None
    upper: float | None = None
    exo: bool = False
    user: int = 0
    plabel: str = ""
    level: int = 1
    efa: str = ""
    # Position of the term in the model text; 0 for added rows.
    line: int = 0

    @property
    def block(self) -> int:
        """Number of the block, which is the group as long as there is one level."""
        return self.group

    @property
    def key(self) -> tuple[str, str, str]:
        """(lhs, op, rhs) with the sides of a covariance in alphabetical order."""
        if self.op == "~~" and self.rhs < self.lhs:
            return (self.rhs, self.op, self.lhs)
        return (self.lhs, self.op, self.rhs)

    @property
    def name(self) -> str:
        """Name as lavaan prints it, ``visual=~x2``, with ``.g2`` from the second group on."""
        return f"{self.lhs}{self.op}{self.rhs}" + (f".g{self.group}" if self.group > 1 else "")


@dataclass(frozen=True)
class ParameterTable:
    """All parameters of a model, its constraints and its defined parameters.

    Parameters
    ----------
    rows : tuple of Row
        Structural parameters in lavaan's order.
    constraints : tuple of Constraint
        Equalities and inequalities, the ones that labels imply included; their names are
        labels and plabels.
    definitions : tuple of Definition
        The ``:=`` statements.
    observed : tuple of tuple of str
        Per group, observed variables: indicators, outcomes, covariates, others.
    latents : tuple of tuple of str
        Per group, latent variables in order of definition.
    exogenous : tuple of tuple of str
        Per group, exogenous covariates whose moments the model does not restrict.
    covariates : tuple of tuple of str
        The same where covariates are fixed (``fixed_x``), else empty.
    """

    rows: tuple[Row, ...]
    constraints: tuple[Constraint, ...]
    definitions: tuple[Definition, ...]
    observed: tuple[tuple[str, ...], ...]
    latents: tuple[tuple[str, ...], ...]
    exogenous: tuple[tuple[str, ...], ...]
    covariates: tuple[tuple[str, ...], ...]
    options: TableOptions = field(default=TableOptions())

    @property
    def n_free(self) -> int:
        """Number of free rows, before constraints."""
        return max((row.free for row in self.rows), default=0)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.observed)

    @property
    def variables(self) -> tuple[str, ...]:
        """Observed variables of all groups, each once."""
        return tuple(dict.fromkeys(name for names in self.observed for name in names))

    def free_rows(self) -> tuple[Row, ...]:
        """Rows of the free parameters, in order of their number."""
        return tuple(sorted((row for row in self.rows if row.free), key=lambda row: row.free))

    def with_rows(self, rows: Iterable[Row]) -> ParameterTable:
        """Return the table with other rows, free parameters numbered anew."""
        return replace(self, rows=_number(rows))


@dataclass(frozen=True)
class Roles:
    """What kind of variable each name is, within one group."""

    latents: tuple[str, ...]
    observed: tuple[str, ...]
    indicators: tuple[str, ...]
    outcomes: tuple[str, ...]
    predictors: tuple[str, ...]
    exogenous_observed: tuple[str, ...]
    exogenous_latents: tuple[str, ...]
    pure_outcomes: tuple[str, ...]


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _phantom(term: Term) -> bool:
    """Whether the term only declares a factor without indicators (``f =~ 0``)."""
    return term.op == "=~" and term.lhs == term.rhs and term.modifiers.fixed == (0.0,)


def find_roles(terms: Sequence[Term]) -> Roles:
    """Sort the names of a block into roles.

    Returns
    -------
    Roles
        ``observed`` stands in lavaan's order: indicators, outcomes, exogenous covariates,
        then names that occur in variances and intercepts only.
    """
    latents = _unique(t.lhs for t in terms if t.op == "=~")
    is_latent = set(latents)
    indicators = _unique(t.rhs for t in terms if t.op == "=~" and t.rhs not in is_latent)
    lower_order = {t.rhs for t in terms if t.op == "=~" and t.rhs in is_latent and not _phantom(t)}
    outcomes = _unique(t.lhs for t in terms if t.op == "~")
    predictors = _unique(t.rhs for t in terms if t.op == "~")
    known = is_latent | set(indicators)
    observed_outcomes = [n for n in outcomes if n not in known]
    exogenous = [n for n in predictors if n not in known and n not in set(outcomes)]
    known |= set(observed_outcomes) | set(exogenous)
    others = _unique(
        name
        for t in terms
        if t.op in ("~~", "~1")
        for name in ((t.lhs, t.rhs) if t.op == "~~" else (t.lhs,))
        if name not in known
    )
    observed = (*indicators, *observed_outcomes, *exogenous, *others)
    mentioned = {name for t in terms if t.op in ("~~", "~1") for name in (t.lhs, t.rhs) if name}
    is_outcome, is_predictor = set(outcomes), set(predictors)
    return Roles(
        latents=latents,
        observed=observed,
        indicators=indicators,
        outcomes=outcomes,
        predictors=predictors,
        # A covariate whose variance or mean the user models is random, not fixed.
        exogenous_observed=tuple(n for n in exogenous if n not in mentioned),
        exogenous_latents=tuple(n for n in latents if n not in is_outcome and n not in lower_order),
        pure_outcomes=tuple(
            n
            for n in (*latents, *observed)
            if n in is_outcome
            and n not in is_predictor
            and n not in lower_order
            and n not in indicators
        ),
    )


_UNSUPPORTED = {
    "<~": "composites (<~)",
}


def _refuse_unordered(spec: ModelSpec, opt: TableOptions) -> None:
    """Thresholds and response scales are those of ordered items."""
    known = opt.n_thresholds
    for term in spec.terms:
        if term.op not in ("|", "~*~"):
            continue
        where = f"line {term.line}: {term.lhs} {term.op} {term.rhs}"
        if term.lhs not in known:
            raise ModelError(
                f"{where}: {term.lhs} is not an ordered item.",
                remedy=f"Name it in ordered=, e.g. ordered=[{term.lhs!r}].",
            )
        number = term.rhs.removeprefix("t")
        if term.op == "|" and not (number.isdigit() and 1 <= int(number) <= known[term.lhs]):
            raise ModelError(
                f"{where}: {term.lhs} has {known[term.lhs]} thresholds, t1 to t{known[term.lhs]}.",
                remedy="Categories that nobody chose have no threshold.",
            )


def _refuse_unsupported(spec: ModelSpec) -> None:
    for term in spec.terms:
        where = f"line {term.line}: {term.lhs} {term.op} {term.rhs}"
        if term.op in _UNSUPPORTED:
            raise UnsupportedError(f"{where}: {_UNSUPPORTED[term.op]} are not available yet.")
        if ":" in term.lhs or ":" in term.rhs:
            raise UnsupportedError(
                f"{where}: products of variables (:) are not available.",
                remedy="Compute the product as a column of the data and use its name.",
            )
        if term.modifiers.efa:
            raise UnsupportedError(f"{where}: efa() blocks are not available yet.")
    for header in spec.blocks:
        if header.kind != "group":
            raise UnsupportedError(
                f"line {header.line}: '{header.kind}:' blocks are not available yet."
            )


def _per_group(values: tuple[object, ...], group: int, n_groups: int, term: Term) -> object:
    if len(values) == 1:
        return values[0]
    if len(values) != n_groups:
        raise ModelError(
            f"line {term.line}: {term.lhs} {term.op} {term.rhs} has {len(values)} modifiers "
            f"in c(), but there {'is 1 group' if n_groups == 1 else f'are {n_groups} groups'}.",
            remedy="Give one value for all groups or one per group.",
        )
    return values[group - 1]


class _GroupRows:
    """Collects the rows of one group in order, each parameter once."""

    def __init__(self, group: int) -> None:
        self.group = group
        self.rows: list[Row] = []
        self.index: dict[tuple[str, str, str], int] = {}

    def add(
        self, lhs: str, op: str, rhs: str, *, fixed: float | None = None, exo: bool = False
    ) -> None:
        """Add a default row unless the user has written it."""
        row = Row(
            lhs,
            op,
            rhs,
            self.group,
            free=0 if fixed is not None or exo else 1,
            ustart=fixed,
            exo=exo,
        )
        if row.key not in self.index:
            self.index[row.key] = len(self.rows)
            self.rows.append(row)

    def add_user(self, row: Row) -> None:
        if row.key in self.index:
            raise ModelError(
                f"line {row.line}: {row.lhs} {row.op} {row.rhs} is in the model twice.",
                remedy="Keep one of the two lines.",
            )
        self.index[row.key] = len(self.rows)
        self.rows.append(row)


def _user_row(term: Term, group: int, n_groups: int, equalities: list[tuple[str, str]]) -> Row:
    mods = term.modifiers
    row = Row(term.lhs, term.op, term.rhs, group, free=1, user=1, line=term.line)
    label, ustart, free = "", None, 1
    lower = upper = None
    if mods.fixed is not None:
        value = _per_group(mods.fixed, group, n_groups, term)
        # NA frees the parameter, also where a default would fix it; -1 remembers that.
        ustart, free = (None, -1) if value is None else (float(str(value)), 0)
    if mods.start is not None:
        value = _per_group(mods.start, group, n_groups, term)
        if value is not None and free:
            ustart = float(str(value))
    if mods.label is not None:
        label = str(_per_group(mods.label, group, n_groups, term) or "")
    if mods.lower is not None:
        value = _per_group(mods.lower, group, n_groups, term)
        lower = None if value is None else float(str(value))
    if mods.upper is not None:
        value = _per_group(mods.upper, group, n_groups, term)
        upper = None if value is None else float(str(value))
    row = replace(row, label=label, ustart=ustart, free=free, lower=lower, upper=upper)
    if mods.equal is not None:
        target = str(_per_group(mods.equal, group, n_groups, term) or "")
        if target:
            equalities.append((row.name, target.replace(" ", "")))
    return row


def _group_rows(
    terms: Sequence[Term],
    roles: Roles,
    group: int,
    n_groups: int,
    opt: TableOptions,
    equalities: list[tuple[str, str]],
) -> list[Row]:
    """Rows of one group: the user's, then lavaan's defaults."""
    out = _GroupRows(group)
    is_latent = set(roles.latents)
    order = {name: i for i, name in enumerate((*roles.latents, *roles.observed))}
    latent_means_freed = "intercepts" in opt.effect_coding
    for term in terms:
        if _phantom(term):
            continue
        row = _user_row(term, group, n_groups, equalities)
        if row.op == "~~" and order[row.lhs] > order[row.rhs]:
            row = replace(row, lhs=row.rhs, rhs=row.lhs)
        out.add_user(row)

    by_latent: dict[str, list[int]] = {name: [] for name in roles.latents}
    for i, row in enumerate(out.rows):
        if row.op == "=~":
            by_latent[row.lhs].append(i)
    free_first = opt.std_lv or "loadings" in opt.effect_coding
    for places in filter(None, by_latent.values()):
        first = out.rows[places[0]]
        if opt.auto_fix_first and not free_first and first.free == 1 and first.ustart is None:
            out.rows[places[0]] = replace(first, free=0, ustart=1.0)

    thresholds = opt.n_thresholds
    for name in roles.observed:
        for k in range(1, thresholds.get(name, 0) + 1):
            out.add(name, "|", f"t{k}")
    if opt.parameterization == "delta":
        for i, row in enumerate(out.rows):
            if row.op == "~~" and row.lhs == row.rhs and row.lhs in thresholds and row.free:
                raise ModelError(
                    f"line {row.line}: {row.lhs} ~~ {row.rhs}: residual variances of ordered items "
                    "are no parameters of the delta parameterisation.",
                    remedy=f"Use parameterization='theta', or the scale: {row.lhs} ~*~ {row.rhs}.",
                )
            if row.op == "~~" and row.lhs == row.rhs and row.lhs in thresholds:
                out.rows[i] = replace(row, ustart=None)

    # Residual variances of observed, then of latent variables.
    fixed_covariates = set(roles.exogenous_observed)
    no_variance = None if opt.auto_var else 0.0
    single = {
        out.rows[places[0]].rhs
        for places in by_latent.values()
        if opt.auto_fix_single and len(places) == 1 and out.rows[places[0]].rhs not in is_latent
    }
    for name in roles.observed:
        if name in thresholds:
            # What theta fixes at one, delta leaves to the other parameters.
            out.add(name, "~~", name, fixed=1.0)
        elif name not in fixed_covariates:
            out.add(name, "~~", name, fixed=0.0 if name in single else no_variance)
    for name in roles.latents:
        out.add(name, "~~", name, fixed=1.0 if opt.std_lv and opt.auto_var else no_variance)
    if opt.auto_cov_lv_x:
        for first_name, second in combinations(roles.exogenous_latents, 2):
            out.add(first_name, "~~", second, fixed=0.0 if opt.orthogonal else None)
    if opt.auto_cov_y:
        for first_name, second in combinations(roles.pure_outcomes, 2):
            out.add(first_name, "~~", second)
    covariates = roles.exogenous_observed
    for i, name in enumerate(covariates):
        for other in covariates[i:]:
            out.add(name, "~~", other, exo=opt.fixed_x)
    for name in roles.observed:
        if name in thresholds:
            out.add(name, "~*~", name, fixed=1.0)
    if opt.meanstructure:
        for name in roles.observed:
            if name not in fixed_covariates:
                free_intercept = opt.int_ov_free and name not in thresholds
                out.add(name, "~1", "", fixed=None if free_intercept else 0.0)
        for name in covariates:
            out.add(name, "~1", "", exo=opt.fixed_x)
        for name in roles.latents:
            free = opt.int_lv_free or latent_means_freed
            out.add(name, "~1", "", fixed=None if free else 0.0)
    return out.rows


def _is_equal_across_groups(row: Row, roles: Roles, kinds: set[str]) -> bool:
    latent = row.lhs in roles.latents
    match row.op:
        case "=~":
            return "loadings" in kinds
        case "~":
            return "regressions" in kinds
        case "~1":
            return ("means" if latent else "intercepts") in kinds
        case "|":
            return "thresholds" in kinds
        case "~~" if row.lhs == row.rhs:
            return ("lv_variances" if latent else "residuals") in kinds
        case "~~":
            return ("lv_covariances" if latent else "residual_covariances") in kinds
    return False


def _apply_group_equal(
    groups: list[list[Row]], roles: Sequence[Roles], opt: TableOptions
) -> list[list[Row]]:
    """Label what must be equal, and free what equality lets the data determine.

    With equal loadings and intercepts the latent means of later groups are free; with equal
    loadings under ``std_lv`` their variances are.
    """
    kinds = set(opt.group_equal)
    partial = {text.replace(" ", "") for text in opt.group_partial}
    # Plabels count over all groups; the first group's stand first.
    labels: dict[tuple[str, str, str], str] = {}
    out: list[list[Row]] = []
    for g, rows in enumerate(groups):
        changed = []
        for i, row in enumerate(rows):
            new = row
            latent = row.lhs in roles[g].latents
            held = (
                not row.exo
                and f"{row.lhs}{row.op}{row.rhs}" not in partial
                and not (row.op == "~1" and f"{row.lhs}~1" in partial)
            )
            if held and _is_equal_across_groups(row, roles[g], kinds):
                if g == 0:
                    if row.free:
                        labels[row.key] = row.label or f".p{i + 1}."
                        new = replace(row, label=labels[row.key])
                elif row.free and not row.label and row.key in labels:
                    new = replace(row, label=labels[row.key])
            if g > 0 and row.user == 0:
                freed_mean = (
                    row.op == "~1"
                    and latent
                    and ("intercepts" in kinds or ("thresholds" in kinds and opt.ordered))
                    and "means" not in kinds
                )
                # Equal thresholds identify the scale of an answer in the later groups.
                scale = "~*~" if opt.parameterization == "delta" else "~~"
                freed_scale = (
                    row.op == scale
                    and row.lhs == row.rhs
                    and row.lhs in opt.n_thresholds
                    and "thresholds" in kinds
                    and "residuals" not in kinds
                )
                freed_variance = (
                    row.op == "~~"
                    and row.lhs == row.rhs
                    and latent
                    and opt.std_lv
                    and "loadings" in kinds
                    and "lv_variances" not in kinds
                )
                if freed_mean or freed_variance or freed_scale:
                    new = replace(row, free=1, ustart=None)
            changed.append(new)
        out.append(changed)
    return out


def _number(rows: Iterable[Row]) -> tuple[Row, ...]:
    count = 0
    numbered = []
    for i, row in enumerate(rows):
        if row.free:
            count += 1
        numbered.append(replace(row, free=count if row.free else 0, plabel=f".p{i + 1}."))
    return tuple(numbered)


def build_table(
    model: str | ModelSpec,
    options: TableOptions,
    group_labels: tuple[str, ...] = ("",),
) -> ParameterTable:
    """Build the parameter table of a model.

    Parameters
    ----------
    model : str or ModelSpec
        Model text in lavaan's language.
    options : TableOptions
        Which defaults to fill in.
    group_labels : tuple of str
        One label per group.

    Raises
    ------
    ModelError
        A parameter written twice, modifiers that do not match the groups, unknown labels.
    UnsupportedError
        A construct without an estimator here.
    """
    spec = parse_model(model) if isinstance(model, str) else model
    return _build_cached(spec, options, group_labels)


@lru_cache(maxsize=128)
def _build_cached(
    spec: ModelSpec, opt: TableOptions, group_labels: tuple[str, ...]
) -> ParameterTable:
    _refuse_unsupported(spec)
    _refuse_unordered(spec, opt)
    n_groups = len(group_labels)
    for kind in opt.group_equal:
        if kind not in GROUP_EQUAL:
            raise OptionError(
                f"group_equal has {kind!r}.", remedy=f"Choose from {', '.join(GROUP_EQUAL)}."
            )
    terms_of = _terms_by_group(spec, group_labels)
    roles = [find_roles(terms) for terms in terms_of]
    for terms, role in zip(terms_of, roles, strict=True):
        if not role.observed:
            raise ModelError("The model has no observed variable.")
        _check_loops(terms)
    equalities: list[tuple[str, str]] = []
    groups = [
        _group_rows(terms, role, g, n_groups, opt, equalities)
        for g, (terms, role) in enumerate(zip(terms_of, roles, strict=True), start=1)
    ]
    if n_groups > 1 and opt.group_equal:
        groups = _apply_group_equal(groups, roles, opt)
    rows = _number(row for group in groups for row in group)
    constraints = (
        *label_constraints(rows),
        *equal_constraints(rows, equalities),
        *(effect_coding_constraints(rows, roles, opt.effect_coding) if opt.effect_coding else ()),
        *spec.constraints,
    )
    return ParameterTable(
        rows=rows,
        constraints=constraints,
        definitions=spec.definitions,
        observed=tuple(role.observed for role in roles),
        latents=tuple(role.latents for role in roles),
        exogenous=tuple(role.exogenous_observed for role in roles),
        covariates=tuple(role.exogenous_observed if opt.fixed_x else () for role in roles),
        options=opt,
    )


def _check_loops(terms: Sequence[Term]) -> None:
    for term in terms:
        if term.op in ("=~", "~") and term.lhs == term.rhs and not _phantom(term):
            raise ModelError(
                f"line {term.line}: {term.lhs} {term.op} {term.rhs} makes a variable its own cause."
            )


def _terms_by_group(spec: ModelSpec, group_labels: tuple[str, ...]) -> list[tuple[Term, ...]]:
    headers = [header for header in spec.blocks if header.kind == "group"]
    if not headers:
        return [spec.terms] * len(group_labels)
    if len(headers) != len(group_labels):
        raise ModelError(
            f"The model text has {len(headers)} group blocks, the data have "
            f"{len(group_labels)} groups.",
            remedy="Write one 'group:' block per group, in the order the groups first appear.",
        )
    by_name = {header.name: header.index for header in headers}
    if set(by_name) == set(group_labels):
        order = [by_name[label] for label in group_labels]
    else:
        order = [header.index for header in headers]
    return [tuple(t for t in spec.terms if t.block == index) for index in order]
