"""The command line: demo, run, init, fit, instruments.

Every command imports what it needs when it runs, so that help is instant. Trouble is one
block on standard error; a traceback appears only with --debug.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqvalid.errors import InputError, SqvalidError

if TYPE_CHECKING:
    import pandas as pd

    from sqvalid.findings import StudyResult
    from sqvalid.instruments import Instrument
    from sqvalid.latent import FitResult

__all__ = ["app", "main"]

app = typer.Typer(
    name="sqvalid",
    help="Does a survey instrument measure what it claims, and do the hypothesised paths hold?",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

EXIT_UNEXPECTED, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 130

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Force = Annotated[
    bool, typer.Option("--force", help="Write into a folder that holds other files, too.")
]


@app.callback()
def _root(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback when something goes wrong.")
    ] = False,
) -> None:
    # main() has acted on --debug before the command line was parsed.
    if context.invoked_subcommand is None:
        _say(context.get_help())


def _inert(text: str) -> str:
    """The text without signs that steer a terminal, which names in a file may have."""
    return "".join(
        sign if sign in "\n\t" or sign.isprintable() or sign.isspace() else f"\\x{ord(sign):02x}"
        for sign in text.replace("\r", "\\r")
    )


def _say(text: str = "") -> None:
    typer.echo(_inert(text))


def _tell_study(result: StudyResult, report: Path) -> None:
    from sqvalid import wording

    def words(key: str) -> str:
        return wording.text(f"report.{key}", result.language)

    measures = result.measurement.fit_measures
    _say(result.title)
    _say(
        f"n = {result.measurement.n_obs}, chi-square {measures['chisq']:.3f} on "
        f"{measures['df']:g} df, CFI {measures['cfi']:.3f}, RMSEA {measures['rmsea']:.3f}, "
        f"SRMR {measures['srmr']:.3f}"
    )
    if result.exploration is not None:
        sizes = {
            "n_explored": result.exploration.n_explored,
            "n_confirmed": result.exploration.n_confirmed,
        }
        _say(wording.text("report.divided", result.language, **sizes))
    for link in result.ledger.links:
        _say(f"  {words(f'link.{link.name}')}: {words(f'state.{link.state}')}")
    for answer in result.answers:
        question = wording.text(f"answer.question.{answer.question}", result.language)
        _say(f"{question} {wording.text(f'answer.verdict.{answer.verdict}', result.language)}")
    if "hypotheses" in result.unplanned:
        _say(words("answers.unplanned"))
    for diagnostic in result.diagnostics:
        if diagnostic.severity == "problem":
            sentence, _ = wording.describe(diagnostic, result.language)
            _say(f"! {sentence}")
    _say(wording.text("report.written", result.language, path=report))


def _run_study(file: Path, output: Path, *, force: bool, language: str | None) -> None:
    from dataclasses import replace

    from sqvalid.study import Study, check_target, write_result

    check_target(output, force=force)
    study = Study.from_toml(file)
    if language is not None:
        study = replace(study, language=language)
    result = study.run()
    _tell_study(result, write_result(result, output, force=force))


Language = Annotated[
    str | None, typer.Option("--language", help="Language of the report: en or zh.")
]


@app.command("demo")
def demo_command(
    output: Output = Path("sqvalid-demo"), language: Language = None, force: Force = False
) -> None:
    """Run the bundled study on simulated answers and write its report."""
    from sqvalid.bundled import dataset_path

    file = dataset_path("servqual_demo", "study.toml")
    _run_study(file, output, force=force, language=language)


@app.command("run")
def run_command(
    study: Annotated[Path, typer.Argument(help="The study.toml.")],
    output: Output = Path("out"),
    language: Language = None,
    force: Force = False,
) -> None:
    """Run a study and write report, tables, results and models."""
    _run_study(study, output, force=force, language=language)


@app.command("init")
def init_command(
    data: Annotated[Path, typer.Argument(help="The answers: .csv, .xlsx, .sav, .dta.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The study file to write.")
    ] = None,
    missing_code: Annotated[
        list[str] | None, typer.Option(help="Value that means no answer; repeatable.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells of a text file.")] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal mark: a point or a comma.")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of a text file, e.g. cp1252; found by default.")
    ] = None,
) -> None:
    """Draft a study.toml by looking at the data; nothing is overwritten."""
    from sqvalid.study.draft import write_draft

    place = write_draft(
        data,
        output,
        missing_codes=tuple(_number_or_text(code) for code in missing_code or ()),
        sheet=sheet,
        delimiter=delimiter,
        decimal=decimal,
        encoding=encoding,
    )
    _say(f"Draft: {place}. Check every line, then: sqvalid run {place}")


def _number_or_text(word: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


@app.command("instruments")
def instruments_command(
    name: Annotated[
        str | None, typer.Argument(help="Show this one: a name, or the path of a .toml file.")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of names and items: en or zh.")] = "en",
    model: Annotated[
        str | None,
        typer.Option(help="Print a measurement model instead: correlated, second_order, ..."),
    ] = None,
    battery: Annotated[
        list[str] | None,
        typer.Option(help="Whose items the model takes: perception, gap, both, ...; repeatable."),
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(help="Dimensions that a merged model makes one, e.g. RES+EMP; repeatable."),
    ] = None,
) -> None:
    """List the instruments of the library, or show one with its items, or a model of it."""
    from sqvalid.instruments import list_instruments, load_instrument
    from sqvalid.instruments.listing import describe_instrument, list_line

    if name is None:
        for known in list_instruments():
            _say(list_line(load_instrument(known), language))
        return
    instrument = load_instrument(name)
    if model is None:
        _say("\n".join(describe_instrument(instrument, language)))
    else:
        batteries = battery or [_first_rated(instrument)]
        groups = [names.split("+") for names in merge or ()]
        _say(instrument.model(model, batteries, merge=groups).rstrip("\n"))  # type: ignore[arg-type]


def _first_rated(instrument: Instrument) -> str:
    order = ("perception", "outcome", *instrument.batteries)
    return next(battery for battery in order if battery in instrument.batteries)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"There is no file {str(path)!r}.", remedy="Check the path of the model."
        ) from None
    except IsADirectoryError:
        raise InputError(
            f"{str(path)!r} is a directory, not a model file.",
            remedy="Give the path of a text file with the model.",
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(path)!r} is not text in UTF-8 (byte {error.start}).",
            remedy="Save the model as UTF-8 text.",
        ) from None
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read: {error.strerror}.", remedy="Check its permissions."
        ) from None


def _read_matrix(path: Path, n_obs: int | None) -> pd.DataFrame:
    import pandas as pd

    from sqvalid.survey import read_matrix

    if n_obs is None:
        raise InputError(
            "A matrix needs the number of respondents behind it.", remedy="Add --n, e.g. --n 502."
        )
    names, values = read_matrix(path)
    return pd.DataFrame(values, index=list(names), columns=list(names))


def _write_json(fit: FitResult, path: Path) -> None:
    from sqvalid.display import json_safe

    payload = json_safe(fit.to_dict(), significant=12)
    text = json.dumps(payload, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(
            f"Cannot write {str(path)!r}: {error.strerror}.",
            remedy="Choose another file for --json.",
        ) from None


@app.command("fit")
def fit_command(
    model: Annotated[Path, typer.Argument(help="Text file with the model, in lavaan's language.")],
    data: Annotated[
        Path | None, typer.Argument(help="File with the answers (.csv, .xlsx).")
    ] = None,
    structural: Annotated[
        bool, typer.Option("--sem/--cfa", help="Which function's defaults the model gets.")
    ] = True,
    growth: Annotated[
        bool, typer.Option("--growth", help="Fit a growth model: item intercepts are zero.")
    ] = False,
    estimator: Annotated[str, typer.Option(help="ML, MLR or MLF.")] = "ML",
    group: Annotated[str | None, typer.Option(help="Column that makes groups.")] = None,
    group_equal: Annotated[
        list[str] | None,
        typer.Option(help="What is equal across groups: loadings, intercepts, ...; repeatable."),
    ] = None,
    std_lv: Annotated[
        bool, typer.Option("--std-lv", help="Give factors variance one instead of markers.")
    ] = False,
    likelihood: Annotated[str, typer.Option(help="normal or wishart.")] = "normal",
    meanstructure: Annotated[
        bool, typer.Option("--meanstructure", help="Estimate intercepts, too.")
    ] = False,
    cov: Annotated[Path | None, typer.Option(help="Covariance matrix instead of answers.")] = None,
    cor: Annotated[Path | None, typer.Option(help="Correlation matrix instead of answers.")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Respondents behind the matrix.")] = None,
    missing_code: Annotated[
        list[str] | None, typer.Option(help="Value that means no answer; repeatable.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells of a text file.")] = None,
    standardized: Annotated[
        bool,
        typer.Option("--standardized/--no-standardized", help="Show standardised estimates."),
    ] = True,
    fit_measures: Annotated[
        bool, typer.Option("--fit-measures/--no-fit-measures", help="Show the fit measures.")
    ] = True,
    modindices: Annotated[
        bool, typer.Option("--modindices", help="Show the largest modification indices.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file.")
    ] = None,
) -> None:
    """Fit one model and print its summary."""
    import warnings

    from sqvalid import latent
    from sqvalid.errors import SqvalidWarning
    from sqvalid.latent import model_variables
    from sqvalid.survey import check_items, read_frame

    if sum(source is not None for source in (data, cov, cor)) != 1:
        raise InputError(
            "Give either a file with answers or one matrix.",
            remedy="sqvalid fit model.txt data.csv, or sqvalid fit model.txt --cor cor.csv --n 502",
        )
    text = _read_text(model)
    variables = model_variables(text)
    estimate = latent.growth if growth else latent.sem if structural else latent.cfa
    options: dict[str, Any] = {
        "estimator": estimator,
        "std_lv": std_lv,
        "likelihood": likelihood,
        "group_equal": tuple(group_equal or ()),
        "meanstructure": True if meanstructure else None,
    }
    if group is not None:
        options["group"] = group
    matrix = cov or cor
    if matrix is not None:
        if group is not None:
            raise InputError("A single matrix has no groups.", remedy="Leave out --group.")
        options |= {"cov": _read_matrix(matrix, n), "n_obs": n}
        source = None
    elif data is not None:
        frame = read_frame(
            data, missing_codes=tuple(missing_code or ()), sheet=sheet, delimiter=delimiter
        )
        source = check_items(frame, variables, group=group)
    with warnings.catch_warnings():
        # Each is a diagnostic of the result, too, and the summary prints it.
        warnings.simplefilter("ignore", SqvalidWarning)
        result = estimate(text, source, **options)
    if json_file is not None:
        _write_json(result, json_file)
    _say(result.summary(standardized=standardized, fit_measures=fit_measures))
    if cor is not None:
        from sqvalid import wording
        from sqvalid.errors import Diagnostic

        for line in wording.describe(Diagnostic("correlation_input", "warning")):
            _say(line)
    if modindices:
        from sqvalid.display import Table

        _say()
        _say(Table(result.modification_indices().head(20), "Modification indices").to_text())


def _block(message: str, remedy: str | None) -> None:
    """Print what went wrong, and what to do about it, on standard error."""
    typer.echo(_inert(f"error: {message}"), err=True)
    if remedy:
        typer.echo(_inert(f"  -> {remedy}"), err=True)


def main() -> None:
    """Run the command line and leave with its exit code.

    0 when all went well, 2 when the input or the plan cannot be used, 1 for a fault of
    sqvalid itself, 130 when interrupted.
    """
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    sys.exit(_guarded([argument for argument in arguments if argument != "--debug"], debug=debug))


def _guarded(arguments: list[str], *, debug: bool) -> int:
    try:
        outcome = app(args=arguments, standalone_mode=False, prog_name="sqvalid")
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has left; what it wanted is out.
        sys.stderr.close()
        return 0
    except SqvalidError as error:
        if debug:
            raise
        _block(error.message, error.remedy)
        return EXIT_REFUSED
    except Exception as error:
        # Wrong usage; typer has its own copy of click, so the class has no public name.
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            _block(error.format_message(), "See sqvalid --help, or --help after a command.")
            return EXIT_REFUSED
        if debug:
            raise
        _block(
            f"sqvalid met a fault of its own ({type(error).__name__}: {error}).",
            "Run again with --debug for the traceback, and report it with the model and a few "
            "lines of data.",
        )
        return EXIT_UNEXPECTED
    return outcome if isinstance(outcome, int) else 0


if __name__ == "__main__":
    main()
