"""Finished runs together: stacks, votes, class experts, and a table of all they can be."""
