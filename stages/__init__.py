"""The stages, one package each, in the order in which data flows; `python -m stages.<name>` runs one."""
