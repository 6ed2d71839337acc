"""Greets new customers in their notes."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import records, settings
from wit_world.imports.types import Error, Field, Value_Text


class OnEvent(exports.OnEvent):
    def handle(self, event):
        customer = event.record
        if customer is None:
            raise Err(Error("gone", "the customer is gone", False))
        fields = {field.name: field.value for field in customer.fields}
        name = fields.get("name")
        name = name.value if isinstance(name, Value_Text) else "stranger"
        notes = f"{settings.get('greeting').value}, {name}"
        records.update("customer", customer.id, [Field("notes", Value_Text(notes))])
