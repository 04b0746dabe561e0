"""Run the papers: data sets, recipes, training, stacks, reports. See `python -m experiments --help`."""
