"""What the study of servqual_demo finds against what is true, line by line.

``python datasets/compare_with_truth.py`` runs the study as it is and writes
servqual_demo/findings.md. The study is over before the truth is opened.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqvalid as sq

HERE = Path(__file__).parent
STUDY = HERE / "servqual_demo" / "study.toml"
TRUTH = HERE / "truth" / "servqual_demo.toml"
PAGE = HERE / "servqual_demo" / "findings.md"

# "right": what was found is true. "wrong": it is not. "open": the study did not decide.
# "missed": something true that the study had a look at and did not notice.
OUTCOMES = ("right", "wrong", "open", "missed")


@dataclass(frozen=True)
class Line:
    """One thing that is true, and what the study says about it."""

    subject: str
    truth: str
    found: str
    outcome: str


def _number(value: float) -> str:
    return f"{value:.2f}"


def _p(value: float) -> str:
    return "p < .001" if value < 0.001 else f"p = {value:.3f}"


def _screening_lines(result: Any, truth: Mapping[str, Any]) -> list[Line]:
    respondent = sq.load_dataset("servqual_demo").frame["respondent"]
    out = {int(respondent[row]) for step in result.flow for row in step.rows}
    pairs = [{int(copy), original} for copy, original in truth["duplicates"].items()]
    dropped = [len(pair & out) for pair in pairs]
    lines = [
        Line(
            "double rows",
            f"{len(pairs)} respondents stand in the file twice",
            f"of {sum(k == 1 for k in dropped)} one row is left out",
            "right" if all(k == 1 for k in dropped) else "missed",
        )
    ]
    careless: set[int] = set()
    for kind, words in (
        ("straight", "tick one answer throughout"),
        ("random", "answer at random"),
        ("blind_to_reversal", "overlook the negative wording"),
    ):
        rows = set(truth["careless"][kind])
        careless |= rows
        lines.append(
            Line(
                f"careless: {words}",
                f"{len(rows)} respondents",
                f"{len(rows & out)} left out",
                "right" if rows <= out else "missed",
            )
        )
    honest = out - careless - set().union(*pairs)
    lines.append(
        Line(
            "attentive respondents",
            "none should be left out",
            f"{len(honest)} left out",
            "wrong" if honest else "right",
        )
    )
    codes = next(e.details["n_codes"] for e in result.survey.audit if e.step == "read")
    planted = len(truth["out_of_range"]) + truth["missing"]["does_not_apply"]
    lines.append(
        Line(
            "codes and keys pressed twice",
            f"{planted} cells",
            f"{codes} cells read as no answer",
            "right" if codes == planted else "wrong",
        )
    )
    return lines


def _measurement_lines(result: Any, truth: Mapping[str, Any]) -> list[Line]:
    lines = []
    for pair in result.validity.pairs.to_dict("records"):
        a, b = pair["factor_a"], pair["factor_b"]
        true = truth["correlations"][f"{a}_{b}"]
        low, high = pair["simultaneous_lower"], pair["simultaneous_upper"]
        lines.append(
            Line(
                f"r({a}, {b})",
                _number(true),
                f"{_number(pair['correlation'])} [{_number(low)}, {_number(high)}]",
                "right" if low <= true <= high else "wrong",
            )
        )
    table = result.measurement.standardized("all")
    table = table[table["op"] == "=~"]
    for factor, group in table.groupby("lhs", sort=False):
        inside = sum(
            row["ci_lower"] <= truth["loadings"][row["rhs"]] <= row["ci_upper"]
            for row in group.to_dict("records")
        )
        lines.append(
            Line(
                f"loadings of {factor}",
                ", ".join(_number(truth["loadings"][item])[1:] for item in group["rhs"]),
                ", ".join(_number(value)[1:] for value in group["est"])
                + f"; {inside} of {len(group)} intervals have the truth",
                "right" if inside == len(group) else "wrong",
            )
        )
    return lines


def _rival_lines(result: Any, truth: Mapping[str, Any]) -> list[Line]:
    table = result.rivals.frame.set_index("model")
    lines = []
    for name in ("one factor", "TAN, REL, the rest as one", "RES and ASS as one",
                 "RES and EMP as one", "positive and negative wording"):  # fmt: skip
        p = table.loc[name, "delta_p"]
        lines.append(
            Line(
                f"rival: {name}",
                "false: five dimensions",
                f"rejected, {_p(p)}" if p < 0.05 else f"not rejected, {_p(p)}",
                "right" if p < 0.05 else "wrong",
            )
        )
    p = table.loc["with a wording factor", "delta_p"]
    better = table.loc["with a wording factor", "bic"] < table.loc["measurement", "bic"]
    lines.append(
        Line(
            "a factor of wording",
            f"loadings of {truth['misfit']['wording_loading']} on nine perceptions",
            f"with it the fit is no better, {_p(p)}" if not better else "preferred",
            "right" if better else "missed",
        )
    )
    return lines


def _branch_lines(result: Any, truth: Mapping[str, Any]) -> list[Line]:
    ladder = result.invariance.frame.set_index("step")
    equal = ladder.loc["metric", "verdict"] == "met"
    scalar = ladder.loc["scalar"]
    lines = [
        Line(
            "loadings in the branches",
            "equal",
            f"equal: {ladder.loc['metric', 'verdict']}",
            "right" if equal else "wrong",
        ),
        Line(
            "intercepts in the branches",
            " and ".join(truth["branch"]["intercepts"]) + " differ",
            f"change of CFI {scalar['delta_cfi']:.4f}: {scalar['verdict']}"
            f" (chi-square difference: {_p(scalar['delta_p'])})",
            "missed" if scalar["verdict"] == "met" else "right",
        ),
    ]
    table = result.invariance.fits["scalar"].parameters
    second = table[(table["group"] == 2) & (table["lhs"] == "RES")]
    mean = second[second["op"] == "~1"].iloc[0]
    spread = second[(second["op"] == "~~") & (second["rhs"] == "RES")]["est"].iloc[0] ** 0.5
    # The first group is the one that comes first in the file.
    south = result.invariance.fits["scalar"].group_labels[1] == "south"
    sign = (1.0 if south else -1.0) / spread
    ends = sorted((sign * mean["ci_lower"], sign * mean["ci_upper"]))
    true = truth["branch"]["means"]["RES"]
    lines.append(
        Line(
            "mean of RES, south less north",
            _number(true),
            f"{_number(sign * mean['est'])} [{_number(ends[0])}, {_number(ends[1])}]"
            " with all intercepts equal",
            "right" if ends[0] <= true <= ends[1] else "wrong",
        )
    )
    return lines


def _path_lines(result: Any, truth: Mapping[str, Any]) -> list[Line]:
    table = result.structural.standardized("all")
    lines = []
    for name, true in truth["effects"].items():
        steps = name.split(" -> ")
        if len(steps) != 2 or "," in name:
            continue
        row = table[(table["op"] == "~") & (table["lhs"] == steps[1]) & (table["rhs"] == steps[0])]
        low, high = float(row["ci_lower"].iloc[0]), float(row["ci_upper"].iloc[0])
        lines.append(
            Line(
                name,
                _number(true),
                f"{_number(float(row['est'].iloc[0]))} [{_number(low)}, {_number(high)}]",
                "right" if low <= true <= high else "wrong",
            )
        )
    for row in result.hypotheses.frame.to_dict("records"):
        true, verdict = truth["hypotheses"][row["id"]], row["verdict"]
        if true == "not testable":
            outcome = "right" if verdict == "not_testable" else "wrong"
        elif verdict in ("undecided", "not_testable"):
            outcome = "open"
        elif verdict == "supported":
            outcome = "right" if true else "wrong"
        elif verdict == "contradicted":
            outcome = "wrong" if true else "right"
        else:
            outcome = "missed" if true else "right"
        told = {True: "true", False: "false"}.get(true, true)
        lines.append(Line(f"{row['id']}: {row['statement']}", told, verdict, outcome))
    return lines


def compare(result: Any, truth: Mapping[str, Any]) -> list[Line]:
    """Return one line for everything that is true and that the study has looked at."""
    return [
        *_screening_lines(result, truth),
        *_rival_lines(result, truth),
        *_measurement_lines(result, truth),
        *_branch_lines(result, truth),
        *_path_lines(result, truth),
    ]


def page(lines: list[Line]) -> str:
    """Return the lines as a page."""
    counts = ", ".join(f"{k} {sum(x.outcome == k for x in lines)}" for k in OUTCOMES)
    rows = [f"| {x.subject} | {x.truth} | {x.found} | {x.outcome} |" for x in lines]
    head = [
        "# What the study found, and what is true",
        "",
        "Made by `compare_with_truth.py`: the study of `study.toml` against",
        "`truth/servqual_demo.toml`. Of a correlation, a loading or a path it says whether the",
        "interval has the true value (correlations: simultaneous over all pairs). *Wrong* is what "
        "an",
        "author of such a study would have written and could not have known to be wrong.",
        "",
        f"{len(lines)} lines: {counts}.",
        "",
        "| | true | found | |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def main() -> None:
    """Run the study, open the truth, write the page."""
    result = sq.Study.from_toml(STUDY).run()
    truth = tomllib.loads(TRUTH.read_text("utf-8"))
    PAGE.write_text(page(compare(result, truth)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
