"""Which accesses want a word of explanation: what explains them, the thirteen rules, and how findings run.

Pure functions over columns (Polars): accesses and what was known at their time go in, findings come out. The same
accesses give the same findings, in whatever order and however often they come. Nothing here decides that somebody
did wrong: unexplained is neutral, and a finding is a question.
"""
