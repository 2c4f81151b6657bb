"""Everything that parses, fed with anything."""
