"""The directive ``measured``: a table of ``docs/results``, or how to make it where it has not been made.

::

    ```{measured} dreambooth
    :command: diffkit measure dreambooth
    :image: images/mini_sd_dreambooth.png
    ```
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Measured(SphinxDirective):
    """The Markdown of one measurement, and its picture if there is one."""

    required_arguments = 1
    option_spec = {"command": directives.unchanged_required, "image": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        path = root / "results" / f"{self.arguments[0]}.md"
        image = self.options.get("image")
        text = path.read_text(encoding="utf-8") if path.is_file() else (
            f"Not measured in this checkout. The command is `{self.options['command']}`.")
        if path.is_file():
            self.env.note_dependency(str(path))
        if image and (root / image).is_file():
            text += f"\n\n![{self.arguments[0]}]({image})\n"
        container = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), str(path)), 0, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True}
