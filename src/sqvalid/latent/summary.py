"""A fit as text: everything a reader of lavaan's summary looks for, in one column of sections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sqvalid import wording
from sqvalid.display import MISSING, format_number, format_p, pad_text, text_width
from sqvalid.latent.constraints import make_functions, named_values
from sqvalid.latent.parameter_table import ParameterTable
from sqvalid.latent.syntax import Binary, format_expression, inline_definitions

if TYPE_CHECKING:
    from sqvalid.latent.result import FitResult

# 5 % point of chi-square on 1 degree of freedom: smaller indices promise nothing.
_LEAST_MI = 3.84


@dataclass(frozen=True)
class _Line:
    """A name and the cells to its right."""

    name: str
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Section:
    """Lines under a title, their cells in columns with heads.

    A line without cells is a heading within the section.
    """

    title: str
    heads: tuple[str, ...]
    lines: tuple[_Line, ...]


def _print(sections: Sequence[_Section]) -> list[str]:
    """Lines of text; sections that follow each other share the widths of their columns."""
    lines = [line for section in sections for line in section.lines]
    titles = [section.title for section in sections if section.heads]
    left = max((text_width(name) for name in [*titles, *(line.name for line in lines)]), default=0)
    rows = [section.heads for section in sections] + [line.cells for line in lines]
    n_columns = max(map(len, rows), default=0)
    widths = [max(text_width(row[j]) for row in rows if len(row) > j) for j in range(n_columns)]

    def show(name: str, cells: Sequence[str]) -> str:
        padded = [pad_text(cell, w, right=True) for cell, w in zip(cells, widths, strict=False)]
        return "  ".join([pad_text(name, left, right=False), *padded]).rstrip()

    out = []
    for section in sections:
        out += ["", show(section.title, section.heads)]
        out += [show(line.name, line.cells) for line in section.lines]
    return out


def _count(value: float) -> str:
    return format_number(value, 0 if float(value).is_integer() else 3)


class _Say:
    """Words of the summary in one language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        return wording.text(f"summary.{key}", self.lang, **values)


def _key(name: str) -> str:
    """An option's value as the end of a key."""
    return name.replace(".", "_")


def _estimation(fit: FitResult, say: _Say) -> _Section:
    options, estimate = fit.fit_options, fit.estimate
    constraints = estimate.problem.constraints
    constrained = estimate.solution.multipliers.size > 0 or constraints.equalities.n_functions > 0
    n_equal = fit.n_free - estimate.n_free
    facts: list[tuple[str, str]] = [
        (say("converged_after" if fit.converged else "stopped_after"), str(fit.n_iterations)),
    ]
    if len(estimate.attempts) > 1:
        facts.append((say("start_values"), estimate.attempts[-1].name))
    facts += [
        (say("gradient_norm"), f"{fit.gradient_norm:.1e}"),
        (say("estimator"), options.estimator),
    ]
    if options.likelihood == "wishart":
        facts.append((say("likelihood_wishart"), ""))
    facts += [
        (say("optimiser"), say("optimiser_constrained" if constrained else "optimiser_free")),
        (say("standard_errors"), say(f"standard_errors_{_key(options.se)}")),
        (say("information"), say(f"information_{_key(options.information)}")),
        (say("h1_information"), say(f"h1_information_{options.h1_information}")),
    ]
    heading = say("tests")
    for name in options.tests:
        facts.append((heading, say(f"test_{_key(name)}")))
        heading = ""
    if options.bootstrap is not None:
        facts.append((say("bootstrap_draws"), str(options.bootstrap)))
    facts.append((say("free_parameters"), str(fit.n_free)))
    if n_equal:
        facts.append((say("equality_constraints"), str(n_equal)))
    if constraints.inequalities.n_functions:
        facts.append((say("inequality_constraints"), str(constraints.inequalities.n_functions)))
    used = say("rows", used=fit.n_obs, received=fit.n_received) if fit.n_received else fit.n_obs
    facts.append((say("rows_used"), str(used)))
    if len(fit.group_labels) > 1:
        facts += [(f"  {label}", str(n)) for label, n in fit.n_obs_by_group.items()]
    if options.cluster is not None:
        codes = {
            code
            for block in estimate.problem.blocks
            if block.clusters is not None
            for code in block.clusters.tolist()
        }
        facts.append((say("clusters", variable=options.cluster), str(len(codes))))
    if options.sampling_weights is not None:
        facts.append((say("sampling_weights"), options.sampling_weights))
    lines = (_Line(f"  {name}", (value,)) for name, value in facts)
    return _Section(say("estimation"), (), tuple(lines))


def _group_chisq(fit: FitResult) -> list[float]:
    """Each group's part of the test statistic."""
    estimate = fit.estimate
    targets = estimate.problem.objective.targets
    n = estimate.problem.multiplier
    return [
        2.0 * n * target.weight * local.half_f if fit.converged else float("nan")
        for target, local in zip(targets, estimate.locals_, strict=True)
    ]


def _measures(
    m: Mapping[str, float], name: str, stem: str, kinds: Sequence[str], how: Any = format_number
) -> _Line:
    """A fit measure in its standard, scaled and robust version."""
    return _Line(f"  {name}", tuple(how(m.get(f"{stem}{kind}", float("nan"))) for kind in kinds))


def _test_title(fit: FitResult, say: _Say) -> str:
    reported = fit.fit_options.reported_test
    name = "" if reported == "standard" else f": {say(f'test_{_key(reported)}')}"
    return say("model_test") + name


def _test_lines(fit: FitResult, m: Mapping[str, float], say: _Say) -> list[_Line]:
    """The test of the model, its corrected version, each group's part, and other tests."""
    corrected = fit.estimate.scaled_test
    kinds = ["", "_scaled"] if corrected is not None else [""]
    out = [_measures(m, say("chisq"), "chisq", kinds)]
    reported = fit.fit_options.reported_test
    shift = 0.0 if corrected is None else fit.tests[corrected]["shift_parameter"]
    if len(fit.group_labels) > 1 and reported == "standard":
        for label, value in zip(fit.group_labels, _group_chisq(fit), strict=True):
            # A shift belongs to no group.
            parts = [value]
            if corrected is not None and not shift:
                parts.append(value / m["chisq_scaling_factor"])
            name = f"    {say('group_contribution', label=label)}"
            out.append(_Line(name, tuple(map(format_number, parts))))
    out.append(_measures(m, say("df"), "df", kinds, _count))
    out.append(_measures(m, say("pvalue"), "pvalue", kinds, format_p))
    if corrected is not None:
        name = say("scaling_factor", test=say(f"test_{_key(corrected)}"))
        out.append(_Line(f"  {name}", ("", format_number(m["chisq_scaling_factor"]))))
        if shift:
            out.append(_Line(f"  {say('shift')}", ("", format_number(shift))))
    for other, test in fit.tests.items():
        if other not in ("standard", reported, corrected):
            out.append(_Line(f"  {say(f'test_{_key(other)}')}", (format_number(test["stat"]),)))
            out.append(_Line(f"    {say('df')}", (_count(test["df"]),)))
            p = test["pvalue"]
            least = 1.0 / test["n_draws"] if "n_draws" in test else 0.0
            # A share of draws cannot be told from zero below one draw.
            shown = f"< {format_p(least)}" if p == 0.0 and least > 0.001 else format_p(p)
            out.append(_Line(f"    {say('pvalue')}", (shown,)))
    return out


def _fit_sections(fit: FitResult, say: _Say, *, complete: bool) -> list[_Section]:
    m = {str(name): float(value) for name, value in fit.fit_measures.items()}
    scaled = "chisq_scaled" in m
    kinds = ["", *(["_scaled"] if scaled else [])]
    indices = [*kinds, *(["_robust"] if "cfi_robust" in m else [])]
    all_heads = (say("standard"), say("scaled"), say("robust"))

    def heads(columns: Sequence[str]) -> tuple[str, ...]:
        return all_heads[: len(columns)] if scaled else ()

    def line(name: str, stem: str, columns: Sequence[str], how: Any = format_number) -> _Line:
        return _measures(m, name, stem, columns, how)

    def section(title: str, columns: Sequence[str], lines: Iterable[_Line]) -> _Section:
        return _Section(say(title), heads(columns), tuple(lines))

    out = [_Section(_test_title(fit, say), heads(kinds), tuple(_test_lines(fit, m, say)))]
    if not complete:
        return out
    baseline = [
        line(say("chisq"), "baseline_chisq", kinds),
        line(say("df"), "baseline_df", kinds, _count),
        line(say("pvalue"), "baseline_pvalue", kinds, format_p),
    ]
    if scaled:
        factor = format_number(m["baseline_chisq_scaling_factor"])
        baseline.append(_Line(f"  {say('scaling_factor_plain')}", ("", factor)))
    out.append(section("baseline_test", kinds, baseline))
    incremental = [line(say("cfi"), "cfi", indices), line(say("tli"), "tli", indices)]
    out.append(section("incremental", indices, incremental))
    if "logl" in m:
        names = ["logl", "unrestricted_logl", "aic", "bic", "bic2"]
        likelihood = [line(say(name), name, [""]) for name in names]
        if "scaling_factor_h0" in m:
            likelihood.insert(1, line(say("scaling_factor_h0"), "scaling_factor_h0", [""]))
            likelihood.insert(3, line(say("scaling_factor_h1"), "scaling_factor_h1", [""]))
        out.append(_Section(say("likelihood"), (), tuple(likelihood)))
    level = f"{100 * m['rmsea_ci_level']:.0f}"
    close, notclose = f"{m['rmsea_close_h0']:.2f}", f"{m['rmsea_notclose_h0']:.2f}"
    rmsea = [
        line(say("rmsea"), "rmsea", indices),
        line(say("rmsea_lower", level=level), "rmsea_ci_lower", indices),
        line(say("rmsea_upper", level=level), "rmsea_ci_upper", indices),
        line(say("rmsea_close", value=close), "rmsea_pvalue", indices, format_p),
        line(say("rmsea_notclose", value=notclose), "rmsea_notclose_pvalue", indices, format_p),
    ]
    out.append(section("rmsea_section", indices, rmsea))
    out.append(_Section(say("srmr_section"), (), (line(say("srmr"), "srmr", [""]),)))
    return out


def _explained(table: ParameterTable, group: int) -> set[str]:
    """Variables of a group that the model explains: their covariances are residual ones."""
    return {
        row.rhs if row.op == "=~" else row.lhs
        for row in table.rows
        if row.group == group and row.op in ("=~", "~")
    }


class _Columns:
    """The cells of one row of the parameter frame."""

    def __init__(self, say: _Say, *, standardized: bool) -> None:
        self.standardized = standardized
        names = ["estimate", "se", "z", "p", "ci_lower", "ci_upper"]
        names += ["std_lv", "std_all"] if standardized else []
        self.heads = tuple(say(name) for name in names)

    def cells(self, row: Any) -> tuple[str, ...]:
        fixed = not row.se > 0 and not np.isnan(row.se)
        inference = (
            (MISSING,) * 5
            if fixed
            else (
                format_number(row.se),
                format_number(row.z),
                format_p(row.p),
                format_number(row.ci_lower),
                format_number(row.ci_upper),
            )
        )
        standard = (row.std_lv, row.std_all) if self.standardized else ()
        return (format_number(row.est), *inference, *map(format_number, standard))


def _under(rows: Iterable[Any], op: str, columns: _Columns, dotted: set[str]) -> Iterator[_Line]:
    """Rows of ``op`` grouped under what stands on their left side."""
    left = None
    for row in rows:
        if row.lhs != left:
            left = row.lhs
            yield _Line(f" {_dot(left, dotted if op == '~~' else set())}{left} {op}")
        dot = _dot(row.rhs, dotted if op == "~~" else set())
        yield _Line(f"   {dot}{row.rhs}{_label(row.label)}", columns.cells(row))


def _dot(name: str, dotted: set[str]) -> str:
    """The dot of a residual, or a blank so that names stay in line."""
    return "." if name in dotted else " "


def _label(label: str) -> str:
    return f" ({label})" if label else ""


def _records(frame: pd.DataFrame) -> list[Any]:
    """Rows of a frame, columns as attributes."""
    return list(frame.itertuples(index=False))


def _parameter_sections(
    frame: pd.DataFrame, table: ParameterTable, group: int, columns: _Columns, say: _Say
) -> list[_Section]:
    dotted = _explained(table, group)
    mine = frame[(frame.group == group) & (frame.op != ":=")]
    rows = _records(mine)
    out = []

    def add(title: str, lines: Iterable[_Line]) -> None:
        kept = tuple(lines)
        if kept:
            out.append(_Section(say(title), columns.heads, kept))

    def alone(op: str) -> Iterator[_Line]:
        for row in rows:
            if row.op == op and (op == "~1" or row.lhs == row.rhs):
                name = f"{_dot(row.lhs, dotted)}{row.lhs}{_label(row.label)}"
                yield _Line(f"   {name}", columns.cells(row))

    # Rows of one factor need not stand together in the model text.
    loadings = sorted((r for r in rows if r.op == "=~"), key=lambda r: _first(rows, "=~", r.lhs))
    add("latent", _under(loadings, "=~", columns, dotted))
    paths = sorted((r for r in rows if r.op == "~"), key=lambda r: _first(rows, "~", r.lhs))
    add("regressions", _under(paths, "~", columns, dotted))
    links = [r for r in rows if r.op == "~~" and r.lhs != r.rhs]
    links = sorted(links, key=lambda r: _first(links, "~~", r.lhs))
    add("covariances", _under(links, "~~", columns, dotted))
    cuts = (r for r in rows if r.op == "|")
    add(
        "thresholds",
        (_Line(f"    {r.lhs}|{r.rhs}{_label(r.label)}", columns.cells(r)) for r in cuts),
    )
    add("intercepts", alone("~1"))
    add("variances", alone("~~"))
    add("scales", alone("~*~"))
    return out


def _first(rows: Sequence[Any], op: str, lhs: str) -> int:
    return next(i for i, row in enumerate(rows) if row.op == op and row.lhs == lhs)


def _constraint_lines(fit: FitResult) -> list[_Line]:
    """The constraints of the model text with their slack: 0 is binding, below 0 is broken."""
    table = fit.table
    written = [item for item in table.constraints if item.line]
    if not written:
        return []
    gaps = inline_definitions(
        table.definitions,
        [
            Binary("-", c.right, c.left) if c.op == "<" else Binary("-", c.left, c.right)
            for c in written
        ],
    )
    known = named_values(table, fit.estimate.problem.fixed_values)
    slack = make_functions(gaps, known, table.n_free).values(fit.estimate.theta)
    out = []
    for item, value in zip(written, slack, strict=True):
        name = f"{format_expression(item.left)} {item.op} {format_expression(item.right)}"
        shown = abs(value) if item.op == "==" else value
        out.append(_Line(f"    {name}", (format_number(shown),)))
    return out


def _by_group(value: Any, labels: Sequence[str]) -> list[Any]:
    return [value[label] for label in labels] if isinstance(value, dict) else [value]


def _r_squared(fit: FitResult, say: _Say) -> list[_Section]:
    out = []
    values = _by_group(fit.r_squared, fit.group_labels)
    for g, (label, series) in enumerate(zip(fit.group_labels, values, strict=True), start=1):
        if series.empty:
            continue
        lines = [_Line(f"    {name}", (format_number(r2),)) for name, r2 in series.items()]
        if len(values) > 1:
            lines.insert(0, _Line(f"  {say('group', number=g, label=label)}"))
        out.append(_Section(say("r_squared"), (say("estimate"),), tuple(lines)))
    return out


def _modification(fit: FitResult, say: _Say) -> _Section:
    frame = fit.modification_indices()
    shown = frame[frame.mi >= _LEAST_MI]
    several = len(fit.group_labels) > 1
    lines = []
    for row in _records(shown):
        values = (row.mi, row.epc, row.sepc_all)
        cells = (*([str(row.group)] if several else []), *map(format_number, values))
        lines.append(_Line(f"    {row.lhs} {row.op} {row.rhs}".rstrip(), cells))
    heads = ((say("group_head"),) if several else ()) + (say("mi"), say("epc"), say("sepc_all"))
    title = say("modification_indices", least=_LEAST_MI, shown=len(shown), total=len(frame))
    return _Section(title, heads, tuple(lines))


def _diagnostics(fit: FitResult, say: _Say) -> list[str]:
    if not fit.diagnostics:
        return []
    out = ["", say("diagnostics")]
    for diagnostic in fit.diagnostics:
        sentence, remedy = wording.describe(diagnostic, say.lang)
        out += [f"  [{diagnostic.severity}] {sentence}", f"    {remedy}"]
    return out


def format_summary(
    fit: FitResult,
    *,
    standardized: bool = True,
    fit_measures: bool = True,
    r_squared: bool = True,
    modification_indices: bool = False,
    lang: str = "en",
) -> str:
    """Write a fit as text.

    Parameters
    ----------
    fit : FitResult
    standardized : bool
        Add the columns Std.lv (latent variables standardised) and Std.all (all variables).
    fit_measures : bool
        Add the baseline model, CFI, TLI, log-likelihood, information criteria, RMSEA, SRMR.
    r_squared : bool
        Add the explained share of each dependent variable.
    modification_indices : bool
        Add the indices of 3.84 or more, largest first.
    lang : str
        Language of the words, one of :func:`sqvalid.wording.languages`.

    Returns
    -------
    str
        Lines end without blanks; numbers that do not exist are a dash. A solution that did
        not converge or is inadmissible says so in the second line and at the end.
    """
    from sqvalid import __version__

    say = _Say(lang)
    head = [say("title", version=__version__, function=fit.fit_options.function)]
    if not fit.converged:
        head.append(f"*** {say('not_converged')} ***")
    elif not fit.admissible:
        head.append(f"*** {say('inadmissible')} ***")
    body = _print([_estimation(fit, say)])
    body += _print(_fit_sections(fit, say, complete=fit_measures))

    columns = _Columns(say, standardized=standardized)
    frame = fit.parameters
    pieces: list[tuple[str, list[_Section]]] = []
    for g, label in enumerate(fit.group_labels, start=1):
        title = say("group", number=g, label=label) if len(fit.group_labels) > 1 else ""
        pieces.append((title, _parameter_sections(frame, fit.table, g, columns, say)))
    defined = [
        _Line(f"    {row.lhs} := {row.rhs}", columns.cells(row))
        for row in _records(frame[frame.op == ":="])
    ]
    if defined:
        pieces.append(("", [_Section(say("defined"), columns.heads, tuple(defined))]))
    written = _constraint_lines(fit)
    if written:
        section = _Section(say("constraints"), (say("constraints_head"),), tuple(written))
        pieces.append(("", [section]))
    printed = _print([section for _, sections in pieces for section in sections])
    body += ["", say("parameters")]
    for title, sections in pieces:
        n_lines = sum(2 + len(section.lines) for section in sections)
        body += [*(["", title] if title else []), *printed[:n_lines]]
        printed = printed[n_lines:]
    if any(_explained(fit.table, g) for g in range(1, fit.table.n_groups + 1)):
        body += ["", say("residual_note")]
    if r_squared:
        body += _print(_r_squared(fit, say))
    if modification_indices:
        body += _print([_modification(fit, say)])
    return "\n".join([*head, *body, *_diagnostics(fit, say)]) + "\n"
