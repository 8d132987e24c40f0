"""How an evaluation is spread out: over shards, processes and a Ray cluster, and put together again."""
