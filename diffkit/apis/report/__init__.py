"""One page that shows trainings and models side by side.

``run`` reads what a training left, ``models`` lets each model paint in a process of its own (``painter``), ``page`` and
``markdown`` write what was found. :func:`~diffkit.apis.report.writing.write_report` is the whole of it.
"""
