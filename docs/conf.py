"""Sphinx configuration: `make docs`."""

from importlib.metadata import metadata

from sphinx.ext.napoleon import NumpyDocstring

project = "scmomer"
author = metadata(project)["Author"]
copyright = f"2026, {author}"
version = release = metadata(project)["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
# autosummary writes its pages with the first suffix.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
nb_execution_mode = "off"  # notebooks hold their outputs: make tutorials

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_numpy_docstring = True
autodoc_typehints = "description"  # from the signature: docstrings do not repeat types
autodoc_typehints_description_target = "documented_params"
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = project


def _parse_returns(self: NumpyDocstring, section: str) -> list[str]:
    """Parse *Returns* as prose: the type is in the signature, so the first line is not a type."""
    lines = self._dedent(self._consume_to_next_section())
    return self._format_block(":returns: ", lines)


NumpyDocstring._parse_returns_section = _parse_returns
