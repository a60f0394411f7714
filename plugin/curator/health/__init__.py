"""How Curator is: what ``GET /curator`` tells, and what is worth a word about the configuration."""
