.PHONY: check test demo serve lock

check test demo serve:
	sh run $@

# After a change of dependencies: versions and hashes, no addresses.
lock:
	.venv/bin/uv lock -q
	.venv/bin/uv export -q --no-header --no-emit-project --group dev --format requirements-txt -o requirements.lock
