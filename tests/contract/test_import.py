"""What an import costs: slow libraries are imported when they are needed, not before."""

import subprocess
import sys

import pytest

SLOW_ANYWHERE = {
    "factor_analyzer",
    "jinja2",
    "matplotlib",
    "openpyxl",
    "pydantic",
    "pyreadstat",
    "semopy",
    "sklearn",
}
SLOW_AT_FIRST = SLOW_ANYWHERE | {"lark", "narwhals", "numpy", "pandas", "scipy"}


def imported_by(statement: str) -> set[str]:
    probe = f"{statement}\nimport sys\nprint(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_package_alone_imports_nothing_slow() -> None:
    assert imported_by("import sqvalid") & SLOW_AT_FIRST == set()


@pytest.mark.parametrize(
    "module", ["criteria", "display", "instruments", "latent", "moments", "survey"]
)
def test_rooms_import_no_picture_form_or_second_engine(module: str) -> None:
    assert imported_by(f"import sqvalid.{module}") & SLOW_ANYWHERE == set()
