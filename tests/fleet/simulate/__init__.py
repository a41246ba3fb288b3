"""The simulator beside what it stands for, and at full size."""
