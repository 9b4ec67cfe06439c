"""Commands that measure speed and memory, each `python -m tests.benchmarks.<name>` and its `--help`; none of them is a test.

Every figure stands beside a rival's or the machine's limit, measured in the same run, as this machine is not yours. Run them
while nothing else works on the machine: they print its load before they begin.
"""
