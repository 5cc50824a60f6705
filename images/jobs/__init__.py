"""Jobs, from being asked for to their end: the queue, what an operation is given, what is told of it."""
