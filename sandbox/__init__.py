"""A synthetic nation and its agencies, speaking the real wire formats (docs/wire/). Imports nothing of ours."""
