"""Small replacements for packages that a peer's script imports and this environment lacks."""
