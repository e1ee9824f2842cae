"""Measurements behind the tables of the documentation; each writes a JSON file and a Markdown table.

Import the modules by name: ``diffkit.apis.measure.mini_sd`` and so on. They load torch.
"""
