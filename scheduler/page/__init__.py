"""The pages for people: fleet, a worker's day, deals, tasks, what an operator may do. It reads, but for these."""
