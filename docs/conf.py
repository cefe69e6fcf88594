"""How Sphinx builds the documentation."""

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
autodoc_preserve_defaults = True
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


# Users get these from methods; their constructors take a private connection.
NOT_CONSTRUCTED = {
    "rekolabels.Dataset",
    "rekolabels.ModelVersion",
    "rekolabels.Project",
    "rekolabels.RunningModel",
    "rekolabels.models.Validation",
}


def class_signature(
    _app: object, _kind: str, name: str, documented: Any, _options: object, signature: str | None, *_: object
) -> tuple[str, str] | None:
    """Hide the parameters of classes that users do not construct; show the defaults of attrs classes."""
    if name in NOT_CONSTRUCTED:
        return "", ""
    if signature is None or not isinstance(documented, type) or not attrs.has(documented):
        return None
    parts = [_parameter(field) for field in attrs.fields(documented) if field.init]
    return f"({', '.join(parts)})", ""


def _parameter(field: Any) -> str:
    if field.default is attrs.NOTHING:
        return str(field.alias)
    opaque = callable(field.default) or isinstance(field.default, type(attrs.Factory(list)))
    return f"{field.alias}={'...' if opaque else repr(field.default)}"


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("autodoc-process-signature", class_signature)
