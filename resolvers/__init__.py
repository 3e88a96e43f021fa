"""How a question is answered: plan, ruling, fetch, answer, entries. Verbs only; the nouns are in schema/."""
