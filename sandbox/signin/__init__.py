"""The sandbox's sign-in: an OpenID Connect provider where anybody may be any persona."""
