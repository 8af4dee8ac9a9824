"""What every section of config.toml is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One table of config.toml. Raises pydantic's ValidationError, which never shows the refused value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
