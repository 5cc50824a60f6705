"""Live events: from whatever changed, through Redis, to the browsers of who may see it."""
