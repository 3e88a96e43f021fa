"""Where data comes from: one connector per agency, wire format in, schema values out (docs/wire/)."""
