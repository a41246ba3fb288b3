"""What managing many workers costs: the simulator's speed, the radio, replicas that die."""
