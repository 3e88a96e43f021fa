"""The sandbox's agencies, one file each, in the wire formats of docs/wire/. They share no code with connectors/."""
