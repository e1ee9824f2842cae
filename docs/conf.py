"""Configuration of Sphinx: ``make docs``."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from diffkit.utils.quiet import quieten_libraries  # noqa: E402
from diffkit.version import __version__  # noqa: E402

quieten_libraries()

project = "diffkit"
author = "the diffkit developers"
copyright = "the diffkit developers, Apache License 2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "registered", "measured"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "results/*"]  # the results are tables, put in by the directive "measured"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
napoleon_numpy_docstring = False
autodoc_typehints = "signature"
maximum_signature_line_length = 80
autodoc_member_order = "bysource"
add_module_names = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"diffkit {release}"
html_show_sourcelink = False
html_copy_source = False
