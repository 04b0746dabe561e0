"""What is made of finished runs: scores, answers, attacks, robustness, saliency, artifacts.

Functions return data and notify a listener; the command line shows it.
"""
