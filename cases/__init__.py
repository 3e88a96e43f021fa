"""Our own records: cases, mandates, evidence, inquiries that are answered later. Plain rows in, plain values out."""
