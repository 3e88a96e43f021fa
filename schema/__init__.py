"""The graph: what can be asked. Types, enums, scalars, the @disclosure directive. No I/O; imports nothing of ours."""
