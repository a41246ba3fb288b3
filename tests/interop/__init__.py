"""What is not ours beside what is: iExec's own contracts under our services, iExec's own client in front of them."""
