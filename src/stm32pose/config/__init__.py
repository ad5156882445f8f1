"""From YAML, in ST's 3.x or 4.x layout, to one typed and validated `Config`."""
