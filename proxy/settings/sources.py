"""What pydantic-settings ranks: layers already read, and the defaults of the profile they name."""

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from proxy.settings import profiles

# Table, key, value. A value that is itself a map must not be a dict: pydantic-settings merges dicts
# of two sources, and a key of a higher layer replaces the lower one's whole.
Layer = Mapping[str, Mapping[str, object]]


class LayerSource(PydanticBaseSettingsSource):
    """One layer as it is: reading it, and complaining about it, happened before."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the table *field_name*, ready for validation."""
        return self._layer.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return all tables as the plain dicts that pydantic-settings merges."""
        return {table: dict(keys) for table, keys in self._layer.items()}


class ProfileSource(PydanticBaseSettingsSource):
    """The lowest layer: what ``token.profile`` of the layers above stands for."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the table *field_name* as the profile fills it in."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the profile's tables, given what has been configured."""
        token = self.current_state.get("token", {})
        upstream = self.current_state.get("upstream", {})
        return dict(profiles.defaults(token.get("profile", profiles.DEFAULT), upstream.get("url")))
