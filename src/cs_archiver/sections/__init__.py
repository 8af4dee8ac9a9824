"""The sections of config.toml, grouped by what they are about."""
