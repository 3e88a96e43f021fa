"""Who may see what: tokens, identifiers, facts and policies. Decides; never fetches and never logs."""
