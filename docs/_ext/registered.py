"""The directive ``registered``: the documentation of everything of diffkit in a registry.

So the reference cannot forget a class; an argument without a meaning is a warning, which ends the build::

    ```{registered} TUNERS
    ```
"""

import inspect

from arguments import faults, registered
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)


class Registered(SphinxDirective):
    """One entry of autodoc for each registered class or function."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = ["```{eval-rst}"]
        for value in registered(self.arguments[0]):
            name = f"{value.__module__}.{value.__qualname__}"
            for fault in faults(value):
                logger.warning("%s %s", name, fault, location=self.get_location())
            lines += [f".. auto{'class' if inspect.isclass(value) else 'function'}:: {name}", ""]
        container = nodes.container()
        self.state.nested_parse(StringList([*lines, "```"], "registered"), 0, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("registered", Registered)
    return {"parallel_read_safe": True}
