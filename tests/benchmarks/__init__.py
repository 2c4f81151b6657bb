"""The benchmark: workloads, peers, a fast server, and the report of the figures."""
