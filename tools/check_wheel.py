"""Build the wheel and the source distribution, check their contents, and test the wheel.

    python tools/check_wheel.py                    with every Python from 3.11 on this machine
    python tools/check_wheel.py --python python3.13 --python python3.11
    python tools/check_wheel.py --tag v0.1.0       check that tag, version and CHANGELOG.md agree, too

The archives contain the expected files and no others, and pass ``twine check``. In an empty environment of
each Python, the wheel installs only the four core dependencies and theirs, and ``smoke.py`` passes. The tests
of the sample application pass with the extra ``testing`` only.
"""

from __future__ import annotations

import argparse
import os
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
INDIRECT = {"botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
"""Dependencies of the core dependencies."""
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
TAG = re.compile(r"v\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", re.ASCII)
UNWANTED = re.compile(r"(^|/)(__pycache__|\.venv|\.git|_build|node_modules)(/|$)|\.pyc$|\.sqlite$")
SMOKE = ROOT / "tools" / "smoke.py"


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command and return its output; if it fails, exit with its output."""
    done = subprocess.run(  # noqa: S603 -- our own commands
        [*map(str, command)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def require(*, condition: bool, message: str) -> None:
    """Exit with a message unless a condition holds."""
    if not condition:
        sys.exit(message)


def check_contents(wheel: Path, source: Path) -> None:
    """Check the contents of the archives."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    inside = names - info
    tracked = set(run("git", "ls-files", "src/rekolabels").split())
    built = {f"src/{name}" for name in inside}
    require(
        condition=built == tracked,
        message=f"The wheel differs from the files in Git: {sorted(built ^ tracked)}.",
    )
    require(condition=inside >= IN_WHEEL, message=f"The wheel lacks {sorted(IN_WHEEL - inside)}.")
    licenses = {name for name in info if "/licenses/" in name}
    require(
        condition=len(licenses) == 1,
        message=f"The wheel must have one license file; it has {sorted(licenses)}.",
    )
    with tarfile.open(source) as tar:
        files = {name.partition("/")[2] for name in tar.getnames()}
    require(
        condition=files >= IN_SOURCE, message=f"The source distribution lacks {sorted(IN_SOURCE - files)}."
    )
    unwanted = sorted(name for name in files | names if UNWANTED.search(name))
    require(condition=not unwanted, message=f"The archives contain unwanted files: {unwanted}.")
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1000:.0f} kB")
    print(f"{source.name}: {len(files)} files, {source.stat().st_size / 1000:.0f} kB")


def check_tag(tag: str) -> None:
    """Refuse a tag that is not a version: git allows characters that a shell would run."""
    require(condition=TAG.fullmatch(tag) is not None, message=f"{tag!r} is not a release tag such as v0.1.0.")


def check_version(wheel: Path, tag: str) -> None:
    """Check that tag, package and changelog have the same version."""
    version = wheel.name.split("-")[1]
    require(
        condition=tag == f"v{version}", message=f"The tag is {tag}, but the package has version {version}."
    )
    section = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )
    require(
        condition=section is not None, message=f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'."
    )


def make_environment(python: str, folder: Path) -> Path:
    """Create an empty environment, and return its interpreter."""
    home = Path(tempfile.mkdtemp(dir=folder))
    run(python, "-m", "venv", home)
    return home / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def check_install(python: str, wheel: Path, folder: Path) -> None:
    """Install the wheel without extras into an empty environment, and run the smoke test."""
    inner = make_environment(python, folder)
    version = run(inner, "-c", "import platform; print(platform.python_version())").strip()
    run(inner, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    listed = run(inner, "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check").splitlines()
    installed = {line.partition("==")[0].lower().replace("_", "-") for line in listed}
    installed -= {"pip", "setuptools", "wheel", "rekolabels"}
    require(
        condition=installed >= CORE and installed <= CORE | INDIRECT,
        message=f"Python {version}: the wheel installed {sorted(installed)}.",
    )
    output = run(inner, SMOKE, cwd=folder).strip()
    print(f"Python {version}: {len(installed)} packages; {output}")


def check_sample_app(python: str, wheel: Path, folder: Path) -> None:
    """Run the tests of the sample application outside of the repository, with the extra ``testing`` only."""
    inner = make_environment(python, folder)
    run(inner, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[testing]")
    sample = folder / "sample_app"
    shutil.copytree(ROOT / "examples" / "sample_app", sample, ignore=shutil.ignore_patterns("__pycache__"))
    output = run(inner, "-m", "pytest", "-q", "--strict-markers", cwd=sample).strip().splitlines()[-1]
    print(f"the sample application with [testing]: {output}")


def find_pythons() -> list[str]:
    """Find every Python from 3.11 on the path or in pyenv, one of each minor version."""
    found: dict[str, str] = {}
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
    on_path = [shutil.which(f"python3.{minor}") for minor in range(11, 30)]
    for command in [*on_path, *map(str, pyenv), sys.executable]:
        if command is None:
            continue
        asked = [command, "-c", "import sys; print(sys.version_info[0] * 100 + sys.version_info[1])"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 -- found on the path
        minor = done.stdout.strip()
        if not done.returncode and int(minor) >= 311:  # noqa: PLR2004 -- 3.11
            found.setdefault(minor, command)
    return [command for _, command in sorted(found.items())]


def main() -> None:
    """Build and check the archives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", action="append", help="interpreter to test the wheel with; default: all")
    parser.add_argument(
        "--tag",
        default=os.environ.get("RELEASE_TAG"),
        help="tag of the release, such as v0.1.0; default: the environment variable RELEASE_TAG",
    )
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder for the archives")
    options = parser.parse_args()
    if options.tag is not None:
        check_tag(options.tag)
    shutil.rmtree(options.dist, ignore_errors=True)
    # The build backend has the locked version; what users install below is not locked.
    lock = str(ROOT / "requirements" / "dev.txt")
    run(sys.executable, "-m", "build", "--outdir", options.dist, PIP_CONSTRAINT=lock)
    (wheel,), (source,) = options.dist.glob("*.whl"), options.dist.glob("*.tar.gz")
    check_contents(wheel, source)
    if options.tag is not None:
        check_version(wheel, options.tag)
    print(run(sys.executable, "-m", "twine", "check", "--strict", wheel, source).strip())
    with tempfile.TemporaryDirectory() as folder:
        for python in options.python or find_pythons():
            check_install(python, wheel, Path(folder))
        check_sample_app(sys.executable, wheel, Path(folder))


if __name__ == "__main__":
    main()
