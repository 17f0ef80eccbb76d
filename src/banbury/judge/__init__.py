"""Which observations matter, by which published rule. Reads facts, never bytes."""
