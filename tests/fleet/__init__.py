"""Many workers managed as one, for real: provisioned hosts, brokers, replicas, pages in a browser, the simulator."""
