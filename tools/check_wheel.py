"""Build the wheel and the source distribution, look into them, and try the wheel in empty environments.

    python tools/check_wheel.py                    every Python from 3.10 that is found on this machine
    python tools/check_wheel.py --python python3.13 --python python3.10
    python tools/check_wheel.py --tag v0.1.0       the tag names the version, and CHANGELOG.md tells of it

What is checked: the two archives hold what they shall and nothing else; ``twine check`` takes them; the wheel
alone brings the four core packages and theirs, and ``smoke.py`` runs there, on every Python; the tests of the
sample application pass with the extra ``testing`` alone.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = {"attrs", "boto3", "tenacity", "typing-extensions"}
THEIRS = {"botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
"""What the core packages bring themselves."""
IN_WHEEL = {
    "rekolabels/py.typed",
    "rekolabels/evaluation/_report/page.css",
    "rekolabels/evaluation/_report/page.js",
    "rekolabels/local/_engine/graph.onnx",
    "rekolabels/local/_engine/weights.json",
    "rekolabels/testing/_plugin.py",
}
IN_SOURCE = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs/index.md",
    "pyproject.toml",
    "tests/conftest.py",
}
NOT_OURS = re.compile(r"(^|/)(__pycache__|\.venv|\.git|_build|node_modules)(/|$)|\.pyc$|\.sqlite$")
SMOKE = ROOT / "tools" / "smoke.py"


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command; its output. A failure ends the script with what the command said."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 -- our own commands
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(*, holds: bool, otherwise: str) -> None:
    """End the script unless something holds."""
    if not holds:
        sys.exit(otherwise)


def check_contents(wheel: Path, source: Path) -> None:
    """See what lies in the archives."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    inside = names - info
    tracked = set(run("git", "ls-files", "src/rekolabels").split())
    built = {f"src/{name}" for name in inside}
    expect(holds=built == tracked, otherwise=f"not the package as it is tracked: {sorted(built ^ tracked)}")
    expect(holds=inside >= IN_WHEEL, otherwise=f"missing in the wheel: {sorted(IN_WHEEL - inside)}")
    licences = {name for name in info if "/licenses/" in name}
    expect(holds=len(licences) == 1, otherwise=f"expected one licence in the wheel, found {licences}")
    with tarfile.open(source) as tar:
        files = {name.partition("/")[2] for name in tar.getnames()}
    expect(holds=files >= IN_SOURCE, otherwise=f"missing in the source: {sorted(IN_SOURCE - files)}")
    foreign = sorted(name for name in files | names if NOT_OURS.search(name))
    expect(holds=not foreign, otherwise=f"nobody asked for these: {foreign}")
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1000:.0f} kB")
    print(f"{source.name}: {len(files)} files, {source.stat().st_size / 1000:.0f} kB")


def check_version(wheel: Path, tag: str) -> None:
    """See that tag, package and changelog name one version."""
    version = wheel.name.split("-")[1]
    expect(holds=tag == f"v{version}", otherwise=f"the tag is {tag}, and the package is version {version}")
    told = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )
    expect(holds=told is not None, otherwise=f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'")


def make_environment(python: str, folder: Path) -> Path:
    """Make an empty environment; its interpreter."""
    home = Path(tempfile.mkdtemp(dir=folder))
    run(python, "-m", "venv", home)
    return home / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def try_on(python: str, wheel: Path, folder: Path) -> None:
    """Install the wheel alone into an empty environment, and use it."""
    inner = make_environment(python, folder)
    version = run(inner, "-c", "import platform; print(platform.python_version())").strip()
    run(inner, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    listed = run(inner, "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check").splitlines()
    brought = {line.partition("==")[0].lower().replace("_", "-") for line in listed}
    brought -= {"pip", "setuptools", "wheel", "rekolabels"}
    expect(
        holds=brought >= CORE and brought <= CORE | THEIRS,
        otherwise=f"Python {version}: the wheel brought {sorted(brought)}",
    )
    said = run(inner, SMOKE, cwd=folder).strip()
    print(f"Python {version}: {len(brought)} packages; {said}")


def try_sample(python: str, wheel: Path, folder: Path) -> None:
    """Test the sample application as somebody else would: elsewhere, with the wheel and its extra alone."""
    inner = make_environment(python, folder)
    run(inner, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[testing]")
    sample = folder / "sample_app"
    shutil.copytree(ROOT / "examples" / "sample_app", sample, ignore=shutil.ignore_patterns("__pycache__"))
    said = run(inner, "-m", "pytest", "-q", "--strict-markers", cwd=sample).strip().splitlines()[-1]
    print(f"the sample application with [testing]: {said}")


def pythons() -> list[str]:
    """Every Python from 3.10 that is on the path or kept by pyenv, one of each minor version."""
    found: dict[str, str] = {}
    kept = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
    minors = range(10, 30)
    for command in [*[shutil.which(f"python3.{minor}") for minor in minors], *map(str, kept), sys.executable]:
        if command is None:
            continue
        asked = [command, "-c", "import sys; print(sys.version_info[0] * 100 + sys.version_info[1])"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 -- found on the path
        minor = done.stdout.strip()
        if not done.returncode and int(minor) >= 310:  # noqa: PLR2004 -- 3.10
            found.setdefault(minor, command)
    return [command for _, command in sorted(found.items())]


def main() -> None:
    """Build, look, try."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--python", action="append", help="an interpreter to try the wheel on; all when not given"
    )
    parser.add_argument("--tag", help="the tag of the release, such as v0.1.0")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the archives go")
    options = parser.parse_args()
    shutil.rmtree(options.dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", options.dist)
    (wheel,), (source,) = options.dist.glob("*.whl"), options.dist.glob("*.tar.gz")
    check_contents(wheel, source)
    if options.tag is not None:
        check_version(wheel, options.tag)
    print(run(sys.executable, "-m", "twine", "check", "--strict", wheel, source).strip())
    with tempfile.TemporaryDirectory() as folder:
        for python in options.python or pythons():
            try_on(python, wheel, Path(folder))
        try_sample(sys.executable, wheel, Path(folder))


if __name__ == "__main__":
    main()
