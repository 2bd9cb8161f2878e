"""What the files under `sql/` and `schedules.yaml` declare, read and validated."""

from warehouse.definitions.product import FeatureUse, Product
from warehouse.definitions.source import Source
from warehouse.definitions.sql_file import FeatureGroup
from warehouse.definitions.suite import Definitions, load_definitions, source_from_text

__all__ = ["Definitions", "FeatureGroup", "FeatureUse", "Product", "Source", "load_definitions", "source_from_text"]
