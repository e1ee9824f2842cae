"""Tests of diffkit; a package, so that they can share helpers (``tests.tiny``)."""
