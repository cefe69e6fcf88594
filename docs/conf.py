"""How Sphinx builds the documentation."""

import inspect
from importlib.metadata import version as installed
from typing import Any

import attrs

project = "rekolabels"
author = "The rekolabels developers"
copyright = "2026, the rekolabels developers"  # noqa: A001 -- Sphinx reads this name
release = version = installed("rekolabels")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"rekolabels {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
smartquotes = False  # messages and commands are copied


# Users get these from methods; their constructors take a private connection.
NOT_CONSTRUCTED = {
    "rekolabels.Dataset",
    "rekolabels.ModelVersion",
    "rekolabels.Project",
    "rekolabels.RunningModel",
    "rekolabels.models.Validation",
}


class Default:
    """The default of a parameter, as the reference shows it."""

    def __init__(self, value: object) -> None:
        self.text = as_code(value)

    def __repr__(self) -> str:
        return self.text


def as_code(value: Any) -> str:
    """Return the code for a default, such as ``time.sleep`` or ``RetryPolicy()``."""
    if inspect.isroutine(value) or isinstance(value, type):
        ours = value.__module__.startswith("rekolabels")
        return value.__qualname__ if ours else f"{value.__module__}.{value.__qualname__}"
    if attrs.has(type(value)) and not any(
        field.init and field.default is attrs.NOTHING for field in attrs.fields(type(value))
    ):
        return f"{type(value).__name__}()" if value == type(value)() else repr(value)
    return repr(value)


def show_defaults(_app: object, documented: Any, bound_method: bool) -> None:  # noqa: FBT001 -- Sphinx calls it
    """Show the values of defaults instead of the private constants and expressions in the code."""
    try:
        found = inspect.signature(documented)
    except (TypeError, ValueError):  # built-in
        return
    parameters = [
        one if one.default is one.empty else one.replace(default=Default(one.default))
        for one in found.parameters.values()
    ]
    if bound_method and inspect.ismethod(documented):  # Sphinx removes the first parameter again
        parameters.insert(0, inspect.Parameter("cls", inspect.Parameter.POSITIONAL_OR_KEYWORD))
        documented.__func__.__signature__ = found.replace(parameters=parameters)
    else:
        documented.__signature__ = found.replace(parameters=parameters)


def class_signature(
    _app: object, _kind: str, name: str, documented: Any, _options: object, signature: str | None, *_: object
) -> tuple[str, str] | None:
    """Hide the parameters of classes that users do not construct; show the defaults of attrs classes."""
    if name in NOT_CONSTRUCTED:
        return "", ""
    if signature is None or not isinstance(documented, type) or not attrs.has(documented):
        return None
    fields = [field for field in attrs.fields(documented) if field.init]
    parts = [_parameter(field) for field in fields if not field.kw_only]
    named = [_parameter(field) for field in fields if field.kw_only]
    return f"({', '.join([*parts, *['*'] * bool(named), *named])})", ""


def _parameter(field: Any) -> str:
    if field.default is attrs.NOTHING:
        return str(field.alias)
    made = field.default.factory() if isinstance(field.default, type(attrs.Factory(list))) else field.default
    return f"{field.alias}={as_code(made)}"


COLON = "\ufdd0"
"""Stands for a colon that napoleon must not read as the end of a type."""


def hide_colons(
    _app: object, what: str, _name: str, _documented: object, _options: object, lines: list[str]
) -> None:
    """Keep the first sentence of an attribute whole: napoleon reads what is before a colon as its type."""
    if what in {"attribute", "data", "property"} and lines:
        lines[0] = lines[0].replace(":", COLON)


def restore_colons(*event: Any) -> None:
    """Restore the colons when napoleon has read the docstring."""
    lines: list[str] = event[-1]
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", hide_colons, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", restore_colons, priority=600)
    app.connect("autodoc-before-process-signature", show_defaults)
    app.connect("autodoc-process-signature", class_signature)
