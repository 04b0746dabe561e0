"""Run the papers: data sets, recipes, training, stacks and reports (`python -m experiments`)."""
