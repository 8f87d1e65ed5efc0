"""The site: the pages of the repository, as they are on GitHub, and an API reference from the docstrings of src/."""

from sphinx.application import Sphinx

project = html_title = "obesity-levels"
extensions = ["myst_parser", "sphinx.ext.autodoc", "autoapi.extension"]

# The source is the repository, so a link works here and on GitHub. A linked file that is not a page becomes a download.
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/api/**", "metrics/model_card.md"]
exclude_patterns = [".*", "**/.venv", "site"]
myst_heading_anchors = 3
# a page that is not here is a warning, so an error
NAVIGATION = {
    "Get started": ["docs/tutorial"],
    "Make and compare models": ["docs/dvc", "docs/layout", "docs/experiments", "docs/registry", "docs/two-models"],
    "Look for drift": ["docs/drift"],
    "Predict a file": ["docs/predict"],
    "Work with many rows": ["docs/scale", "docs/feature-store"],
    "Serve a model": ["docs/service", "docs/operations", "docs/performance", "SECURITY"],
    "Trust the numbers": ["docs/results", "docs/reproducibility", "metrics/model_card"],
    "Change the code": ["docs/architecture", "docs/testing", "docs/decisions", "CONTRIBUTING", "CHANGELOG"],
    "API reference": ["docs/api/index"],
}

# autoapi reads the docstrings without an import: the environment of this build holds nothing of the pipeline.
autoapi_dirs = ["src"]
autoapi_root = "docs/api"
autoapi_options = ["members", "undoc-members"]
add_module_names = False
python_use_unqualified_type_names = True
default_role = "literal"  # `name` in a docstring is code

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
smartquotes = False

suppress_warnings = [
    # autoapi does not see constants of `A, B = …`; no page loses by it, because none shows what a module imports
    "autoapi.python_import_resolution",
]


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the navigation to the README, which would show it as code on GitHub."""
    if name == root_doc:
        for caption, pages in NAVIGATION.items():
            entries = "".join(f"/{page}\n" for page in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:titlesonly:\n:caption: {caption}\n\n{entries}```\n"


def separate_lists(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Put an empty line before a list in a docstring: reStructuredText needs it, Markdown does not."""
    for at in range(len(lines) - 1, 0, -1):
        if lines[at].startswith("- ") and lines[at - 1] and not lines[at - 1].startswith(("- ", "  ")):
            lines.insert(at, "")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
    app.connect("autodoc-process-docstring", separate_lists)
