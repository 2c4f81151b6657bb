"""The benchmark: workloads, peers, a fast server, and what is made of the figures."""
