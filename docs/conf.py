"""The settings of the site; `python -m tools.site` builds it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.site.build import cache_folder  # noqa: E402
from tools.site.translations.edition import without_edition  # noqa: E402

# Notebooks run in processes of their own, which must find the packages of this checkout.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)

project = "minigrad"
author = "minigrad contributors"
copyright = "minigrad contributors"
language = os.environ.get("MINIGRAD_DOCS_LANGUAGE", "en")
smartquotes = False  # two hyphens begin an option
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "tools.site.extension",
]
suppress_warnings = ["ref.python"]  # a name in a docstring may fit several members
exclude_patterns = ["**/.ipynb_checkpoints", "_static", "_templates", "locales"]

# Other languages hold the start page and the lessons, see tools/site/translations.
locale_dirs = ["locales"]
gettext_compact = False
gettext_location = False
gettext_uuid = False
if language != "en":
    exclude_patterns += without_edition(ROOT / "docs")
    suppress_warnings += ["toc.excluded", "toc.not_readable"]
    html_use_index = False

# Markdown
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

# Notebooks: an error in a cell is an error of the build.
nb_execution_mode = os.environ.get("MINIGRAD_DOCS_EXECUTION", "cache")
nb_execution_cache_path = str(cache_folder())
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # of the clock; a busy machine takes several times what a quiet one does
nb_execution_show_tb = True
nb_merge_streams = True
nb_ipywidgets_js = {}  # they would come from the network

# The reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Fields", "params_style")]
add_module_names = False

# Looks
html_theme = "furo"
html_title = "minigrad"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("ko.js", {"priority": 900})] if language == "ko" else []
html_copy_source = True
pygments_style = "default"
pygments_dark_style = "github-dark"
# Of examples with prompts, what is typed is copied, without prompts and without what came out.
copybutton_exclude = ".linenos"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
